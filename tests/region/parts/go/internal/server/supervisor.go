package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"clusterous.test/parts/internal/agent"
	"clusterous.test/parts/internal/pki"
	"clusterous.test/parts/internal/token"
)

const (
	listenAddress = ":6443"
	apiAddress    = "127.0.0.1:6444"
	systemSpace   = "kube-system"
)

// supervisor answers at 6443: nodes that join, and the API server behind it for everybody else.
type supervisor struct {
	options options
	by      authorities
	client  kubernetes.Interface
	ready   atomic.Bool
	gets    atomic.Int64
	posts   atomic.Int64
}

// As many nodes at a time are answered, of each kind of request; the others are to come again.
const (
	mostGets  = 20
	mostPosts = 10
)

// listen starts answering; ready requests are refused until *ready* is set.
func (s *supervisor) listen(ctx context.Context, fail func(error)) error {
	proxy, err := s.apiProxy()
	if err != nil {
		return err
	}
	cert, err := cryptotls.LoadX509KeyPair(s.options.tls("serving-kube-apiserver.crt"), s.options.tls("serving-kube-apiserver.key"))
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AddCert(s.by.client.Cert)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cacerts", s.cacerts)
	mux.HandleFunc("GET /ping", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprint(answer, "pong") })
	mux.HandleFunc("/v1-k3s/{name}", s.supervise)
	mux.Handle("/", proxy)
	listener, err := net.Listen("tcp", listenAddress)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: mux,
		TLSConfig: &cryptotls.Config{
			Certificates: []cryptotls.Certificate{cert}, MinVersion: cryptotls.VersionTLS12,
			ClientAuth: cryptotls.VerifyClientCertIfGiven, ClientCAs: clients,
		},
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // handshakes that a scan or a wrong CA ends
	}
	go func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			fail(fmt.Errorf("the supervisor stopped answering: %w", err))
		}
	}()
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	return nil
}

func (s *supervisor) cacerts(answer http.ResponseWriter, _ *http.Request) {
	answer.Header().Set("Content-Type", "text/plain")
	_, _ = answer.Write(s.by.server.CertPEM)
}

// supervise answers who knows a secret of the cluster.
func (s *supervisor) supervise(answer http.ResponseWriter, request *http.Request) {
	user, secret, _ := request.BasicAuth()
	if !s.knows(user, secret) {
		http.Error(answer, "the token's secret is not this cluster's", http.StatusUnauthorized)
		return
	}
	if !s.ready.Load() {
		http.Error(answer, "the API server is starting", http.StatusServiceUnavailable)
		return
	}
	count, most := &s.gets, int64(mostGets)
	if request.Method == http.MethodPost {
		count, most = &s.posts, mostPosts
	}
	defer count.Add(-1)
	if count.Add(1) > most {
		http.Error(answer, "too many nodes join at this moment", http.StatusTooManyRequests)
		return
	}
	switch name := request.PathValue("name"); name {
	case "readyz":
		fmt.Fprint(answer, "ok")
	case "config":
		s.config(answer)
	case "server-ca.crt":
		_, _ = answer.Write(s.by.server.CertPEM)
	case "client-ca.crt":
		_, _ = answer.Write(s.by.client.CertPEM)
	default:
		s.certify(answer, request, name)
	}
}

// knows: the server's secret is good for a node as well, an agent's is not good for a server.
func (s *supervisor) knows(user, secret string) bool {
	switch user {
	case token.Server:
		return equal(secret, s.options.secret)
	case token.Node:
		return equal(secret, s.options.agentSecret) || equal(secret, s.options.secret)
	default:
		return false
	}
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (s *supervisor) config(answer http.ResponseWriter) {
	answer.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(answer).Encode(agent.Cluster{
		ClusterCIDR: s.options.clusterCIDR, ServiceCIDR: s.options.serviceCIDR,
		ClusterDNS: s.options.clusterDNS, ClusterDomain: s.options.clusterDomain,
		FlannelBackend: s.options.flannelBackend, DisableCloud: s.options.disableCloud,
		DisablePolicy: s.options.disablePolicy,
	})
}

// certify signs a node's key, once the node has shown that the name is its own.
func (s *supervisor) certify(answer http.ResponseWriter, request *http.Request, name string) {
	node := strings.ToLower(request.Header.Get(agent.NodeNameHeader))
	subject, by := s.subject(name, node, request.Header.Get(agent.NodeIPHeader))
	if by == nil {
		http.NotFound(answer, request)
		return
	}
	password := request.Header.Get(agent.NodePasswordHeader)
	if node == "" || password == "" {
		http.Error(answer, "the node's name or password is missing", http.StatusBadRequest)
		return
	}
	if err := s.checkPassword(request.Context(), node, password); err != nil {
		status := http.StatusServiceUnavailable
		if errors.Is(err, errTakenName) {
			status = http.StatusForbidden
		}
		http.Error(answer, err.Error(), status)
		return
	}
	body, err := io.ReadAll(io.LimitReader(request.Body, 1<<16))
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	certificate, err := by.SignRequest(body, subject)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = answer.Write(certificate)
}

func (s *supervisor) subject(name, node, address string) (pki.Subject, *pki.Authority) {
	switch name {
	case "serving-kubelet.crt":
		hosts := []string{node, "localhost", "127.0.0.1"}
		if net.ParseIP(address) != nil {
			hosts = append(hosts, address)
		}
		return pki.Subject{User: node, Hosts: hosts}, s.by.server
	case "client-kubelet.crt":
		return pki.Subject{User: "system:node:" + node, Groups: []string{"system:nodes"}}, s.by.client
	case "client-kube-proxy.crt":
		return pki.Subject{User: "system:kube-proxy"}, s.by.client
	case "client-k3s-controller.crt":
		return pki.Subject{User: "system:k3s-controller"}, s.by.client
	default:
		return pki.Subject{}, nil
	}
}

var errTakenName = errors.New("node password rejected: this name belongs to another node; " +
	"delete the node and its secret, or choose another name")

func passwordSecret(node string) string { return node + ".node-password.k3s" }

// checkPassword keeps a hash of the password that a node first came with.
func (s *supervisor) checkPassword(ctx context.Context, node, password string) error {
	digest := sha256.Sum256([]byte(node + "\x00" + password))
	hash := []byte(hex.EncodeToString(digest[:]))
	secrets := s.client.CoreV1().Secrets(systemSpace)
	known, err := secrets.Get(ctx, passwordSecret(node), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		immutable := true
		_, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: passwordSecret(node)},
			Immutable:  &immutable, Data: map[string][]byte{"hash": hash},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(known.Data["hash"], hash) {
		return errTakenName
	}
	return nil
}

// apiProxy hands requests on to the API server. Who a client certificate names is told in the
// headers that the API server accepts from the owner of the request-header certificate alone;
// requests with a bearer token go on as they came, over a connection without that certificate.
func (s *supervisor) apiProxy() (http.Handler, error) {
	proxy, err := cryptotls.LoadX509KeyPair(s.options.tls("client-auth-proxy.crt"), s.options.tls("client-auth-proxy.key"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.by.server.Cert)
	plain := &cryptotls.Config{RootCAs: roots}
	known := &cryptotls.Config{RootCAs: roots, Certificates: []cryptotls.Certificate{proxy}}
	route := &routes{
		named: newTransport(known, true), namedUpgrade: newTransport(known, false),
		token: newTransport(plain, true), tokenUpgrade: newTransport(plain, false),
	}
	target := &url.URL{Scheme: "https", Host: apiAddress}
	return &httputil.ReverseProxy{
		Transport:     route,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(target)
			request.Out.Host = request.In.Host
			request.SetXForwarded()
			setIdentity(request.Out.Header, request.In.TLS)
		},
		ErrorHandler: func(answer http.ResponseWriter, _ *http.Request, err error) {
			http.Error(answer, "the API server does not answer: "+err.Error(), http.StatusServiceUnavailable)
		},
	}, nil
}

// setIdentity never lets a client's own X-Remote-* headers through.
func setIdentity(header http.Header, state *cryptotls.ConnectionState) {
	for name := range header {
		if strings.HasPrefix(http.CanonicalHeaderKey(name), "X-Remote-") {
			delete(header, name)
		}
	}
	if state == nil || len(state.VerifiedChains) == 0 {
		return
	}
	subject := state.PeerCertificates[0].Subject
	header.Del("Authorization")
	header.Set("X-Remote-User", subject.CommonName)
	for _, group := range subject.Organization {
		header.Add("X-Remote-Group", group)
	}
}

type routes struct{ named, namedUpgrade, token, tokenUpgrade http.RoundTripper }

// RoundTrip chooses the connection. exec, attach and port-forward upgrade theirs, which HTTP/2
// cannot.
func (r *routes) RoundTrip(request *http.Request) (*http.Response, error) {
	isNamed, upgrades := request.Header.Get("X-Remote-User") != "", request.Header.Get("Upgrade") != ""
	switch {
	case isNamed && upgrades:
		return r.namedUpgrade.RoundTrip(request)
	case isNamed:
		return r.named.RoundTrip(request)
	case upgrades:
		return r.tokenUpgrade.RoundTrip(request)
	default:
		return r.token.RoundTrip(request)
	}
}

func newTransport(config *cryptotls.Config, http2 bool) *http.Transport {
	transport := &http.Transport{
		TLSClientConfig: config.Clone(), ForceAttemptHTTP2: http2, DisableCompression: true,
		MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
	}
	if !http2 {
		transport.TLSNextProto = map[string]func(string, *cryptotls.Conn) http.RoundTripper{}
	}
	return transport
}

// apiIsReady asks the API server itself.
func (s *supervisor) apiIsReady(ctx context.Context) bool {
	answer, err := s.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err == nil && string(answer) == "ok"
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
