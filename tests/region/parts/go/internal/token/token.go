// Package token reads and writes the join tokens of k3s: K10<hash of the CA>::<user>:<secret>.
package token

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const prefix = "K10"

// The users that a secret can stand for: an agent's secret cannot act as a server's.
const (
	Server = "server"
	Node   = "node"
)

// Token is a parsed join token. CAHash and User are empty in the short form.
type Token struct {
	CAHash string
	User   string
	Secret string
}

// Parse reads the full form, "user:secret" with a known user, or a bare secret.
func Parse(text string) (Token, error) {
	text = strings.TrimSpace(text)
	rest, isFull := strings.CutPrefix(text, prefix)
	if !isFull || !strings.Contains(text, "::") {
		return parseCredentials("", text)
	}
	hash, credentials, _ := strings.Cut(rest, "::")
	if raw, err := hex.DecodeString(hash); err != nil || len(raw) != sha256.Size {
		return Token{}, fmt.Errorf("invalid token CA hash length: %d hex digits are expected after %s", 2*sha256.Size, prefix)
	}
	parsed, err := parseCredentials(hash, credentials)
	if err == nil && parsed.User == "" {
		return Token{}, errors.New("invalid token: K10<hash>:: must be followed by user:secret")
	}
	return parsed, err
}

func parseCredentials(hash, credentials string) (Token, error) {
	user, secret, hasUser := strings.Cut(credentials, ":")
	if !hasUser {
		user, secret = "", credentials
	}
	if secret == "" {
		return Token{}, errors.New("invalid token: the secret is empty")
	}
	return Token{CAHash: strings.ToLower(hash), User: user, Secret: secret}, nil
}

// Format writes the full form for the CA in *caPEM*.
func Format(caPEM []byte, user, secret string) (string, error) {
	hash, err := HashCA(caPEM)
	if err != nil {
		return "", err
	}
	return prefix + hash + "::" + user + ":" + secret, nil
}

// CheckCA says whether *caPEM* is the CA that the token was made for; a short token trusts any.
func (t Token) CheckCA(caPEM []byte) error {
	if t.CAHash == "" {
		return nil
	}
	hash, err := HashCA(caPEM)
	if err != nil {
		return err
	}
	if hash != t.CAHash {
		return fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", t.CAHash, hash)
	}
	return nil
}

// HashCA is the SHA-256 of the PEM bytes as they are; of a bundle with a chain, of its root alone.
func HashCA(caPEM []byte) (string, error) {
	certificates, err := parseAll(caPEM)
	if err != nil {
		return "", err
	}
	if len(certificates) > 1 {
		caPEM = rootOf(certificates, caPEM)
	}
	digest := sha256.Sum256(caPEM)
	return hex.EncodeToString(digest[:]), nil
}

func parseAll(bundle []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the CA file holds a broken certificate: %w", err)
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 {
		return nil, errors.New("the CA file holds no certificate")
	}
	return certificates, nil
}

func rootOf(certificates []*x509.Certificate, bundle []byte) []byte {
	for _, certificate := range certificates {
		if bytes.Equal(certificate.RawSubject, certificate.RawIssuer) {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
		}
	}
	return bundle
}
