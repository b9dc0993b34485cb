package token

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clusterous.test/parts/internal/pki"
)

func newCA(t *testing.T) []byte {
	t.Helper()
	ca, err := pki.LoadOrMake(t.TempDir(), "server-ca")
	if err != nil {
		t.Fatal(err)
	}
	return ca.CertPEM
}

func TestHashOfOneCertificateIsOfTheFileAsItIs(t *testing.T) {
	dir := t.TempDir()
	if _, err := pki.LoadOrMake(dir, "server-ca"); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "server-ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(content)

	hash, err := HashCA(content)

	if err != nil || hash != hex.EncodeToString(digest[:]) {
		t.Fatalf("hash %s, error %v; sha256sum says %x", hash, err, digest)
	}
}

func TestWhatIsWrittenCanBeRead(t *testing.T) {
	ca := newCA(t)

	text, err := Format(ca, Node, "secret:with:colons")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(text + "\n")

	if err != nil || parsed.User != Node || parsed.Secret != "secret:with:colons" {
		t.Fatalf("parsed %+v, error %v", parsed, err)
	}
	if err := parsed.CheckCA(ca); err != nil {
		t.Fatal(err)
	}
}

func TestAnotherClustersCAIsRefused(t *testing.T) {
	text, err := Format(newCA(t), Server, "x")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}

	err = parsed.CheckCA(newCA(t))

	if err == nil || !strings.Contains(err.Error(), "does not match the Cluster CA") {
		t.Fatalf("error %v", err)
	}
}

func TestShortAndBrokenTokens(t *testing.T) {
	for text, want := range map[string]Token{
		"secret":      {Secret: "secret"},
		"node:secret": {User: "node", Secret: "secret"},
		"K10secret":   {Secret: "K10secret"},
	} {
		if parsed, err := Parse(text); err != nil || parsed != want {
			t.Errorf("%q: %+v, %v", text, parsed, err)
		}
	}
	hash := strings.Repeat("ab", 32)
	for _, text := range []string{"", "node:", "K10abc::node:x", "K10" + hash + "::", "K10" + hash + "::secret", "K10" + hash + "::node:"} {
		if parsed, err := Parse(text); err == nil {
			t.Errorf("%q was read as %+v", text, parsed)
		}
	}
}
