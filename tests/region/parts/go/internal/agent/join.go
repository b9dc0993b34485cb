package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"clusterous.test/parts/internal/pki"
	"clusterous.test/parts/internal/token"
)

// Cluster is what the server tells every agent.
type Cluster struct {
	ClusterCIDR    string `json:"clusterCIDR"`
	ServiceCIDR    string `json:"serviceCIDR"`
	ClusterDNS     string `json:"clusterDNS"`
	ClusterDomain  string `json:"clusterDomain"`
	FlannelBackend string `json:"flannelBackend"`
	DisableProxy   bool   `json:"disableKubeProxy"`
	DisableCloud   bool   `json:"disableCloudController"`
	DisablePolicy  bool   `json:"disableNPC"`
}

// ErrRefused is an answer that no amount of waiting changes.
var ErrRefused = errors.New("the server refused this node")

// Headers of k3s with which a node shows that it is the one that first had its name.
const (
	NodeNameHeader     = "K3s-Node-Name"
	NodePasswordHeader = "K3s-Node-Password"
	NodeIPHeader       = "K3s-Node-Ip"
)

const retryEvery = 500 * time.Millisecond

// supervisor is the server as an agent sees it.
type supervisor struct {
	url      string
	token    token.Token
	client   *http.Client
	caPEM    []byte
	node     string
	address  string
	password string
}

// connect waits until the server answers, and ends if it shows another CA than the token names.
func connect(ctx context.Context, url string, joinToken token.Token, node, address, password string) (*supervisor, error) {
	s := &supervisor{
		url: strings.TrimRight(url, "/"), token: joinToken,
		node: node, address: address, password: password,
	}
	// Only the CA is fetched without checking whom one talks to: the token's hash checks the CA.
	insecure := &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	var err error
	s.caPEM, err = retry(ctx, "the server's CA", func() ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/cacerts", nil)
		if err != nil {
			return nil, err
		}
		return answer(insecure.Do(request))
	})
	if err != nil {
		return nil, err
	}
	if err := joinToken.CheckCA(s.caPEM); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.caPEM) {
		return nil, errors.New("the server's CA file holds no certificate")
	}
	s.client = &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	return s, nil
}

// cluster waits until the server's API is up, so that the kubelet registers at its first attempt.
func (s *supervisor) cluster(ctx context.Context) (Cluster, error) {
	var found Cluster
	if _, err := retry(ctx, "the server's API", func() ([]byte, error) {
		return s.call(ctx, http.MethodGet, "readyz", nil)
	}); err != nil {
		return found, err
	}
	content, err := retry(ctx, "the cluster's settings", func() ([]byte, error) {
		return s.call(ctx, http.MethodGet, "config", nil)
	})
	if err != nil {
		return found, err
	}
	return found, json.Unmarshal(content, &found)
}

// certificate makes a key at *base*.key, which never leaves this node, and has it certified.
func (s *supervisor) certificate(ctx context.Context, name, base string) error {
	key, err := pki.EnsureKey(base + ".key")
	if err != nil {
		return err
	}
	request, err := pki.Request(key)
	if err != nil {
		return err
	}
	certificate, err := retry(ctx, name, func() ([]byte, error) {
		return s.call(ctx, http.MethodPost, name, request)
	})
	if err != nil {
		return err
	}
	return os.WriteFile(base+".crt", certificate, 0o644)
}

func (s *supervisor) fetch(ctx context.Context, name, path string) error {
	content, err := retry(ctx, name, func() ([]byte, error) {
		return s.call(ctx, http.MethodGet, name, nil)
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

func (s *supervisor) call(ctx context.Context, method, name string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.url+"/v1-k3s/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	user := s.token.User
	if user == "" {
		user = token.Node
	}
	request.SetBasicAuth(user, s.token.Secret)
	request.Header.Set(NodeNameHeader, s.node)
	request.Header.Set(NodePasswordHeader, s.password)
	request.Header.Set(NodeIPHeader, s.address)
	return answer(s.client.Do(request))
}

func answer(response *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	words := strings.TrimSpace(string(content))
	switch response.StatusCode {
	case http.StatusOK:
		return content, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%w: %s: %s", ErrRefused, response.Status, words)
	default:
		return nil, fmt.Errorf("%s: %s", response.Status, words)
	}
}

// retry goes on until an answer comes; a refusal ends it. It says once every ten seconds what it
// waits for.
func retry(ctx context.Context, what string, try func() ([]byte, error)) ([]byte, error) {
	var told time.Time
	for {
		content, err := try()
		if err == nil || errors.Is(err, ErrRefused) {
			return content, err
		}
		if time.Since(told) > 10*time.Second {
			log.Printf("Waiting for %s: %v", what, err)
			told = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(retryEvery):
		}
	}
}

// nodePassword is the node's own secret, made at its first start.
func nodePassword(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(content)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	password := hex.EncodeToString(secret)
	return password, os.WriteFile(path, []byte(password+"\n"), 0o600)
}
