package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes/fake"

	"clusterous.test/parts/internal/agent"
	"clusterous.test/parts/internal/pki"
)

func newSupervisor(t *testing.T) *supervisor {
	t.Helper()
	dir := t.TempDir()
	by := authorities{}
	for name, place := range map[string]**pki.Authority{"server-ca": &by.server, "client-ca": &by.client} {
		made, err := pki.LoadOrMake(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		*place = made
	}
	return &supervisor{
		options: options{secret: "server-secret", agentSecret: "agent-secret"},
		by:      by, client: fake.NewSimpleClientset(),
	}
}

func request(t *testing.T, s *supervisor, name, user, secret, node, password string) *httptest.ResponseRecorder {
	t.Helper()
	key, err := pki.EnsureKey(t.TempDir() + "/key")
	if err != nil {
		t.Fatal(err)
	}
	body, err := pki.Request(key)
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/v1-k3s/"+name, strings.NewReader(string(body)))
	request.SetPathValue("name", name)
	request.SetBasicAuth(user, secret)
	request.Header.Set(agent.NodeNameHeader, node)
	request.Header.Set(agent.NodePasswordHeader, password)
	request.Header.Set(agent.NodeIPHeader, "10.0.0.7")
	answer := httptest.NewRecorder()
	s.supervise(answer, request)
	return answer
}

func TestSecretsOpenOnlyWhatTheyAreFor(t *testing.T) {
	s := newSupervisor(t)
	s.ready.Store(true)
	for _, test := range []struct {
		user, secret string
		want         int
	}{
		{"node", "agent-secret", http.StatusOK}, {"node", "server-secret", http.StatusOK},
		{"server", "server-secret", http.StatusOK}, {"server", "agent-secret", http.StatusUnauthorized},
		{"node", "", http.StatusUnauthorized}, {"node", "x", http.StatusUnauthorized},
		{"admin", "server-secret", http.StatusUnauthorized}, {"", "", http.StatusUnauthorized},
	} {
		if got := request(t, s, "readyz", test.user, test.secret, "n", "p").Code; got != test.want {
			t.Errorf("%s:%s got %d, not %d", test.user, test.secret, got, test.want)
		}
	}
}

func TestNobodyIsLetInBeforeTheAPIAnswers(t *testing.T) {
	if got := request(t, newSupervisor(t), "readyz", "node", "agent-secret", "n", "p").Code; got != http.StatusServiceUnavailable {
		t.Fatalf("answer %d", got)
	}
}

func TestManyNodesAtATimeAreToComeAgain(t *testing.T) {
	s := newSupervisor(t)
	s.ready.Store(true)
	s.posts.Store(mostPosts)

	if got := request(t, s, "client-kubelet.crt", "node", "agent-secret", "n", "p").Code; got != http.StatusTooManyRequests {
		t.Errorf("answer %d", got)
	}
	s.posts.Store(mostPosts - 1)
	if got := request(t, s, "client-kubelet.crt", "node", "agent-secret", "n", "p").Code; got != http.StatusOK {
		t.Errorf("then %d", got)
	}
	if now := s.posts.Load(); now != mostPosts-1 {
		t.Errorf("%d are counted", now)
	}
}

func TestCertificatesNameTheNodeThatAsked(t *testing.T) {
	s := newSupervisor(t)
	s.ready.Store(true)

	answer := request(t, s, "client-kubelet.crt", "node", "agent-secret", "Ip-10-0-0-7", "p")

	block, _ := pem.Decode(answer.Body.Bytes())
	if answer.Code != http.StatusOK || block == nil {
		t.Fatalf("answer %d %s", answer.Code, answer.Body)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	subject := certificate.Subject
	if subject.CommonName != "system:node:ip-10-0-0-7" || !reflect.DeepEqual(subject.Organization, []string{"system:nodes"}) {
		t.Fatalf("subject %s", subject)
	}
	if err := certificate.CheckSignatureFrom(s.by.client.Cert); err != nil {
		t.Fatal(err)
	}
}

func TestANodesNameCannotBeTakenOver(t *testing.T) {
	s := newSupervisor(t)
	s.ready.Store(true)
	if got := request(t, s, "client-kubelet.crt", "node", "agent-secret", "n", "first").Code; got != http.StatusOK {
		t.Fatalf("first answer %d", got)
	}

	if got := request(t, s, "client-kubelet.crt", "node", "agent-secret", "n", "other").Code; got != http.StatusForbidden {
		t.Errorf("another's answer %d", got)
	}
	if got := request(t, s, "client-kubelet.crt", "node", "agent-secret", "n", "first").Code; got != http.StatusOK {
		t.Errorf("own answer %d", got)
	}
	if err := s.checkPassword(context.Background(), "n", "other"); !errors.Is(err, errTakenName) {
		t.Errorf("error %v", err)
	}
}

func TestIdentityComesFromTheCertificateAlone(t *testing.T) {
	header := http.Header{"X-Remote-User": {"system:admin"}, "X-Remote-Group": {"system:masters"}, "X-Remote-Extra-A": {"b"}}

	setIdentity(header, &tls.ConnectionState{})

	if len(header) != 0 {
		t.Errorf("without a certificate: %v", header)
	}

	header = http.Header{"X-Remote-Group": {"system:masters"}, "Authorization": {"Bearer x"}}
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "system:node:a", Organization: []string{"system:nodes"}}}

	setIdentity(header, &tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}},
	})

	want := http.Header{"X-Remote-User": {"system:node:a"}, "X-Remote-Group": {"system:nodes"}}
	if !reflect.DeepEqual(header, want) {
		t.Errorf("with one: %v", header)
	}
}
