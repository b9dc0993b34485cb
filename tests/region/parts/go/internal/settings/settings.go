// Package settings reads what k3s reads: config.yaml, config.yaml.d, flags and environment.
//
// A key of a file that it does not know is passed over with a warning, as k3s does it; what it
// does not know on the command line is refused.
package settings

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

// Role is the subcommand that the settings are for.
type Role string

// The two roles of k3s.
const (
	Server Role = "server"
	Agent  Role = "agent"
)

type kind int

const (
	text kind = iota
	flag
	list
)

var agentKeys = map[string]kind{
	"token": text, "token-file": text, "server": text, "data-dir": text, "debug": flag,
	"node-name": text, "node-ip": list, "node-label": list, "node-taint": list,
	"kubelet-arg": list, "kube-proxy-arg": list, "pause-image": text, "private-registry": text,
	"image-credential-provider-bin-dir": text, "image-credential-provider-config": text,
	"disable-apiserver-lb": flag, "resolv-conf": text,
}

var serverKeys = map[string]kind{
	"agent-token": text, "agent-token-file": text, "kube-apiserver-arg": list,
	"kube-controller-manager-arg": list, "kube-scheduler-arg": list, "tls-san": list,
	"disable": list, "cluster-cidr": list, "service-cidr": list, "cluster-dns": list,
	"cluster-domain": text, "service-node-port-range": text, "flannel-backend": text,
	"egress-selector-mode": text, "write-kubeconfig": text, "write-kubeconfig-mode": text,
	"disable-cloud-controller": flag, "disable-network-policy": flag, "disable-agent": flag,
	"disable-kube-proxy": flag, "disable-helm-controller": flag, "cluster-init": flag,
	"secrets-encryption": flag, "advertise-address": text, "datastore-endpoint": text,
}

var environment = map[string]string{
	"K3S_TOKEN": "token", "K3S_TOKEN_FILE": "token-file", "K3S_URL": "server",
	"K3S_AGENT_TOKEN": "agent-token", "K3S_AGENT_TOKEN_FILE": "agent-token-file",
	"K3S_NODE_NAME": "node-name", "K3S_DATA_DIR": "data-dir", "K3S_RESOLV_CONF": "resolv-conf",
	"K3S_KUBECONFIG_MODE": "write-kubeconfig-mode", "K3S_KUBECONFIG_OUTPUT": "write-kubeconfig",
	"K3S_DATASTORE_ENDPOINT": "datastore-endpoint",
}

// Settings are the values by key, lists in the order given. Read it with Text, Flag and List.
type Settings struct {
	Role   Role
	values map[string][]string
}

// Sources is where settings come from.
type Sources struct {
	Args        []string
	Environment func(string) string
	ConfigFile  string // used unless Args name another
}

// Load merges all sources: flags win over the environment, the environment over files; lists of
// files and flags add up, as they do in k3s.
func Load(role Role, sources Sources) (*Settings, error) {
	settings := &Settings{Role: role, values: map[string][]string{}}
	flags, path, err := settings.parseFlags(sources.Args)
	if err != nil {
		return nil, err
	}
	if path == "" {
		path = sources.ConfigFile
	} else if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("the configuration file cannot be read: %w", err)
	}
	if err := settings.readFiles(path); err != nil {
		return nil, err
	}
	settings.readEnvironment(sources.Environment)
	for key, values := range flags {
		if settings.kindOf(key) == list {
			values = append(settings.values[key], values...)
		}
		settings.values[key] = values
	}
	return settings, settings.check()
}

// Text is the value of *key* or *fallback*.
func (s *Settings) Text(key, fallback string) string {
	if values := s.values[key]; len(values) > 0 && values[len(values)-1] != "" {
		return values[len(values)-1]
	}
	return fallback
}

// Flag is whether *key* is set to true.
func (s *Settings) Flag(key string) bool { return s.Text(key, "false") == "true" }

// List is all values of *key*; "a,b" counts as two, except in arguments handed on to a program.
func (s *Settings) List(key string) []string {
	if strings.HasSuffix(key, "-arg") {
		return s.values[key]
	}
	var all []string
	for _, value := range s.values[key] {
		for _, part := range strings.Split(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// Secret is the value of *key*, or the content of the file that *key*-file names.
func (s *Settings) Secret(key string) (string, error) {
	if value := s.Text(key, ""); value != "" {
		return value, nil
	}
	path := s.Text(key+"-file", "")
	if path == "" {
		return "", nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s-file cannot be read: %w", key, err)
	}
	return strings.TrimSpace(string(content)), nil
}

func (s *Settings) kindOf(key string) kind {
	if known, isAgents := agentKeys[key]; isAgents {
		return known
	}
	return serverKeys[key]
}

func (s *Settings) known(key string) error {
	if _, isAgents := agentKeys[key]; isAgents {
		return nil
	}
	if _, isServers := serverKeys[key]; !isServers {
		return fmt.Errorf("the k3s stand-in does not know the option %q", key)
	}
	if s.Role == Agent {
		return fmt.Errorf("the option %q is for k3s server, not for k3s agent", key)
	}
	return nil
}

func (s *Settings) parseFlags(args []string) (map[string][]string, string, error) {
	flags, path := map[string][]string{}, ""
	for i := 0; i < len(args); i++ {
		key, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") {
			return nil, "", fmt.Errorf("unexpected argument %q", args[i])
		}
		key = longName(key)
		isConfig := key == "config"
		if err := s.known(key); err != nil && !isConfig {
			return nil, "", err
		}
		switch {
		case hasValue:
		case !isConfig && s.kindOf(key) == flag:
			value = "true"
		case i+1 < len(args):
			i++
			value = args[i]
		default:
			return nil, "", fmt.Errorf("the option --%s needs a value", key)
		}
		if isConfig {
			path = value
			continue
		}
		flags[key] = append(flags[key], value)
	}
	return flags, path, nil
}

func longName(short string) string {
	if long, isShort := map[string]string{"t": "token", "s": "server", "d": "data-dir", "c": "config"}[short]; isShort {
		return long
	}
	return short
}

func (s *Settings) readFiles(path string) error {
	more, err := filepath.Glob(path + ".d/*.yaml")
	if err != nil {
		return err
	}
	sort.Strings(more)
	for _, file := range append([]string{path}, more...) {
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) && file == path {
			continue
		}
		if err == nil {
			err = s.merge(content)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// merge lets a later file replace a key of an earlier one; "key+" adds to a list instead.
func (s *Settings) merge(content []byte) error {
	var raw map[string]any
	if err := yaml.Unmarshal(content, &raw); err != nil {
		return err
	}
	for key, value := range raw {
		name, adds := strings.CutSuffix(key, "+")
		if err := s.known(name); err != nil {
			log.Printf("level=warning msg=\"Unknown flag --%s found in config.yaml, skipping\\n\"", name)
			continue
		}
		values, err := s.strings(name, value)
		if err != nil {
			return err
		}
		if adds {
			values = append(s.values[name], values...)
		}
		s.values[name] = values
	}
	return nil
}

func (s *Settings) strings(key string, value any) ([]string, error) {
	items, isList := value.([]any)
	if !isList {
		items = []any{value}
	} else if s.kindOf(key) != list {
		return nil, fmt.Errorf("%s takes one value, not a list", key)
	}
	var all []string
	for _, item := range items {
		switch item := item.(type) {
		case nil:
		case string, bool, float64, int64:
			all = append(all, fmt.Sprint(item))
		default:
			return nil, fmt.Errorf("%s has a value that is neither text, number nor true or false", key)
		}
	}
	return all, nil
}

func (s *Settings) readEnvironment(getenv func(string) string) {
	if getenv == nil {
		return
	}
	for variable, key := range environment {
		if value := getenv(variable); value != "" && s.known(key) == nil {
			s.values[key] = []string{value}
		}
	}
}

// check refuses what k3s can do and the stand-in cannot.
func (s *Settings) check() error {
	for key, values := range s.values {
		if s.kindOf(key) != flag {
			continue
		}
		for _, value := range values {
			if value != "true" && value != "false" {
				return fmt.Errorf("%s is either true or false, not %q", key, value)
			}
		}
	}
	if s.Role == Agent {
		if s.Text("server", "") == "" {
			return errors.New("--server is required: an agent needs the address of its server (https://…:6443)")
		}
		return nil
	}
	if s.Text("server", "") != "" {
		return errors.New("the k3s stand-in has one server only: it cannot join another (option server)")
	}
	if store := s.Text("datastore-endpoint", "sqlite://"); !strings.HasPrefix(store, "sqlite://") {
		return fmt.Errorf("the k3s stand-in keeps its state in SQLite (sqlite://PATH?OPTIONS), not in %q", store)
	}
	if backend := s.Text("flannel-backend", "vxlan"); backend != "vxlan" && backend != "none" {
		return fmt.Errorf("the k3s stand-in has the flannel-backend vxlan or none, not %q", backend)
	}
	return nil
}
