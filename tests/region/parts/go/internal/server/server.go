// Package server is the control plane: store, API server, controllers, scheduler, the supervisor
// that nodes join through, and what k3s deploys by itself.
package server

import (
	"context"
	"log"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"clusterous.test/parts/internal/agent"
	"clusterous.test/parts/internal/kine"
	"clusterous.test/parts/internal/process"
	"clusterous.test/parts/internal/settings"
	"clusterous.test/parts/internal/token"
)

// Server is the control plane of one machine.
type Server struct {
	settings *settings.Settings
	group    *process.Group
	self     string
	bin      string
	options  options
	by       authorities
	config   *rest.Config
	client   kubernetes.Interface
}

// New prepares all files: authorities, certificates, tokens, kubeconfigs.
func New(found *settings.Settings, group *process.Group, self, bin string) (*Server, error) {
	node, address, err := agent.Identity(found)
	if err != nil {
		return nil, err
	}
	s := &Server{settings: found, group: group, self: self, bin: bin}
	if s.options, err = newOptions(found, node, address); err != nil {
		return nil, err
	}
	if s.by, err = s.options.makeAuthorities(); err != nil {
		return nil, err
	}
	if err := s.options.takeTokens(found, s.by); err != nil {
		return nil, err
	}
	if err := s.options.issueCertificates(s.by); err != nil {
		return nil, err
	}
	path := found.Text("write-kubeconfig", kubeconfigPath)
	if err := s.options.writeKubeconfig(path, found.Text("write-kubeconfig-mode", ""), s.by); err != nil {
		return nil, err
	}
	return s, s.connect()
}

func (s *Server) connect() error {
	var err error
	if s.config, err = clientcmd.BuildConfigFromFlags("", s.options.kubeconfig("supervisor")); err != nil {
		return err
	}
	s.config.QPS, s.config.Burst = 50, 100
	s.client, err = kubernetes.NewForConfig(s.config)
	return err
}

// Token is what this machine's own agent joins with.
func (s *Server) Token() token.Token {
	return token.Token{User: token.Server, Secret: s.options.secret}
}

// Run calls *ready* once the API answers, and returns when *ctx* ends or something failed.
func (s *Server) Run(ctx context.Context, ready func()) error {
	supervisor := &supervisor{options: s.options, by: s.by, client: s.client}
	if err := supervisor.listen(ctx, s.group.Fail); err != nil {
		return err
	}
	socket, err := s.startStore(ctx)
	if err != nil {
		return err
	}
	if err := s.startAPI(socket); err != nil {
		return err
	}
	err = process.WaitFor(ctx, 100*time.Millisecond, func() bool { return supervisor.apiIsReady(ctx) })
	if err != nil {
		return err
	}
	for _, start := range []func() error{s.startControllers, s.startScheduler} {
		if err := start(); err != nil {
			return err
		}
	}
	deployer, err := newDeployer(s)
	if err != nil {
		return err
	}
	// Agents need their rights and the way to the API before they are let in.
	if err := deployer.bootstrap(ctx); err != nil {
		return err
	}
	supervisor.ready.Store(true)
	log.Printf("The API server answers at https://%s%s", s.options.address, listenAddress)
	ready()
	go s.followNodes(ctx)
	if !s.settings.Flag("disable-helm-controller") {
		go newHelm(s, deployer.dynamic).run(ctx)
	}
	return deployer.run(ctx)
}

func (s *Server) startStore(ctx context.Context) (string, error) {
	socket := "unix://" + filepath.Join(s.options.dir, "kine.sock")
	endpoint := s.settings.Text("datastore-endpoint", "")
	if endpoint == "" {
		var err error
		if endpoint, err = kine.Default(filepath.Join(s.options.dir, "db", "state.db")); err != nil {
			return "", err
		}
	}
	answers := make(chan struct{})
	go func() {
		if err := kine.Serve(ctx, endpoint, socket, func() { close(answers) }); err != nil {
			s.group.Fail(err)
		}
	}()
	select {
	case <-answers:
		return socket, nil
	case err := <-s.group.Failed():
		s.group.Fail(err)
		return "", err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *Server) startAPI(store string) error {
	o := s.options
	host, port, _ := strings.Cut(apiAddress, ":")
	flags := map[string]string{
		"advertise-address": s.settings.Text("advertise-address", o.address.String()),
		"bind-address":      host, "secure-port": port, "etcd-servers": store,
		"allow-privileged": "true", "anonymous-auth": "false", "profiling": "false",
		"authorization-mode": "Node,RBAC", "enable-admission-plugins": "NodeRestriction",
		// The API is reached through the supervisor: its address is told by the deployer.
		"endpoint-reconciler-type": "none",
		"api-audiences":            "https://kubernetes.default.svc." + o.clusterDomain + ",k3s",
		"service-account-issuer":   "https://kubernetes.default.svc." + o.clusterDomain,
		"service-account-key-file": o.tls("service.key"), "service-account-signing-key-file": o.tls("service.key"),
		"service-cluster-ip-range": o.serviceCIDR,
		"service-node-port-range":  s.settings.Text("service-node-port-range", "30000-32767"),
		"tls-cert-file":            o.tls("serving-kube-apiserver.crt"), "tls-private-key-file": o.tls("serving-kube-apiserver.key"),
		"client-ca-file":                     o.tls("client-ca.crt"),
		"kubelet-certificate-authority":      o.tls("server-ca.crt"),
		"kubelet-client-certificate":         o.tls("client-kube-apiserver.crt"),
		"kubelet-client-key":                 o.tls("client-kube-apiserver.key"),
		"kubelet-preferred-address-types":    "InternalIP,ExternalIP,Hostname",
		"requestheader-client-ca-file":       o.tls("request-header-ca.crt"),
		"requestheader-allowed-names":        "system:auth-proxy",
		"requestheader-username-headers":     "X-Remote-User",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"proxy-client-cert-file":             o.tls("client-auth-proxy.crt"),
		"proxy-client-key-file":              o.tls("client-auth-proxy.key"),
	}
	if s.settings.Flag("secrets-encryption") {
		path, err := o.encryptionConfig()
		if err != nil {
			return err
		}
		flags["encryption-provider-config"] = path
	}
	return s.start("kube-apiserver", flags)
}

func (s *Server) startControllers() error {
	o := s.options
	kubeconfig := o.kubeconfig("controller")
	flags := map[string]string{
		"kubeconfig": kubeconfig, "authentication-kubeconfig": kubeconfig,
		"authorization-kubeconfig": kubeconfig, "bind-address": "127.0.0.1", "profiling": "false",
		"leader-elect": "false", "use-service-account-credentials": "true",
		"controllers": "*,tokencleaner", "allocate-node-cidrs": "true", "configure-cloud-routes": "false",
		"cluster-cidr": o.clusterCIDR, "service-cluster-ip-range": o.serviceCIDR,
		"root-ca-file": o.tls("server-ca.crt"), "service-account-private-key-file": o.tls("service.key"),
	}
	for signer, ca := range map[string]string{
		"kube-apiserver-client": "client-ca", "kubelet-client": "client-ca",
		"kubelet-serving": "server-ca", "legacy-unknown": "server-ca",
	} {
		flags["cluster-signing-"+signer+"-cert-file"] = o.tls(ca + ".crt")
		flags["cluster-signing-"+signer+"-key-file"] = o.tls(ca + ".key")
	}
	return s.start("kube-controller-manager", flags)
}

func (s *Server) startScheduler() error {
	kubeconfig := s.options.kubeconfig("scheduler")
	return s.start("kube-scheduler", map[string]string{
		"kubeconfig": kubeconfig, "authentication-kubeconfig": kubeconfig,
		"authorization-kubeconfig": kubeconfig, "bind-address": "127.0.0.1", "profiling": "false",
		"leader-elect": "false",
	})
}

// start runs a program with *flags*, in which the user's own NAME-arg options win.
func (s *Server) start(name string, flags map[string]string) error {
	argv := []string{s.self}
	for flag, value := range merged(flags, s.settings.List(name+"-arg")) {
		argv = append(argv, "--"+flag+"="+value)
	}
	return s.group.Start(name, argv, nil, os.Stderr)
}

func merged(flags map[string]string, arguments []string) map[string]string {
	all := map[string]string{}
	for flag, value := range flags {
		all[flag] = value
	}
	for _, argument := range arguments {
		flag, value, hasValue := strings.Cut(strings.TrimLeft(argument, "-"), "=")
		if !hasValue {
			value = "true"
		}
		if own := all[flag]; own != "" && (flag == "enable-admission-plugins" || flag == "api-audiences") {
			value = own + "," + value
		}
		all[flag] = value
	}
	return all
}

// AgentURL is where this machine's own agent finds its server.
func (s *Server) AgentURL() string {
	return "https://" + netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 6443).String()
}
