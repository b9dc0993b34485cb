// Package vxlan joins the pod networks of all nodes, as flannel's vxlan back end does.
//
// What should be is planned as values (plan.go) and made so through netlink (apply.go).
package vxlan

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"sort"

	corev1 "k8s.io/api/core/v1"
)

// What flannel calls things on every node.
const (
	Device      = "flannel.1"
	vni         = 1
	port        = 8472
	overhead    = 50
	annotations = "flannel.alpha.coreos.com/"
)

// Peer is another node of the network.
type Peer struct {
	Node    string
	Address netip.Addr   // the node's own address, to which packets are sent
	MAC     string       // of the node's vxlan device
	Pods    netip.Prefix // the node's pods
}

// Gateway is the address of the peer's vxlan device: the first of its pod network.
func (p Peer) Gateway() netip.Addr { return p.Pods.Masked().Addr() }

// Plan is all peers to which there must be a way.
type Plan struct{ Peers []Peer }

type backendData struct {
	VNI     int    `json:"VNI"`
	VtepMAC string `json:"VtepMAC"`
}

// NewPlan takes every node but *self* that has told what the network needs to know.
func NewPlan(self string, nodes []*corev1.Node) Plan {
	var plan Plan
	for _, node := range nodes {
		if peer, isReady := peerOf(node); isReady && node.Name != self {
			plan.Peers = append(plan.Peers, peer)
		}
	}
	sort.Slice(plan.Peers, func(i, j int) bool { return plan.Peers[i].Node < plan.Peers[j].Node })
	return plan
}

func peerOf(node *corev1.Node) (Peer, bool) {
	var data backendData
	if json.Unmarshal([]byte(node.Annotations[annotations+"backend-data"]), &data) != nil || data.VNI != vni {
		return Peer{}, false
	}
	address, addressErr := netip.ParseAddr(node.Annotations[annotations+"public-ip"])
	pods, podsErr := netip.ParsePrefix(node.Spec.PodCIDR)
	_, macErr := net.ParseMAC(data.VtepMAC)
	if addressErr != nil || podsErr != nil || macErr != nil {
		return Peer{}, false
	}
	return Peer{Node: node.Name, Address: address, MAC: data.VtepMAC, Pods: pods}, true
}

// Annotations is what a node says of itself to its peers.
func Annotations(address, mac string) map[string]string {
	data, _ := json.Marshal(backendData{VNI: vni, VtepMAC: mac}) // two plain fields: cannot fail
	return map[string]string{
		annotations + "backend-data":        string(data),
		annotations + "backend-type":        "vxlan",
		annotations + "kube-subnet-manager": "true",
		annotations + "public-ip":           address,
	}
}

// MAC is the hardware address of a node's device: always the same one, so that peers that have not
// yet heard of a restart still reach it.
func MAC(node string) net.HardwareAddr {
	digest := sha256.Sum256([]byte(node))
	mac := net.HardwareAddr(digest[:6])
	mac[0] = mac[0]&^1 | 2 // unicast, locally administered
	return mac
}

// ConfList is the CNI configuration of a node whose pods live in *pods*.
func ConfList(pods string, mtu int) ([]byte, error) {
	if _, err := netip.ParsePrefix(pods); err != nil {
		return nil, fmt.Errorf("the node's pod network is not usable: %w", err)
	}
	return json.MarshalIndent(map[string]any{
		"name": "cbr0", "cniVersion": "1.0.0",
		"plugins": []any{
			map[string]any{
				"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true,
				"forceAddress": true, "mtu": mtu,
				"ipam": map[string]any{
					"type":   "host-local",
					"ranges": []any{[]any{map[string]any{"subnet": pods}}},
				},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true}},
		},
	}, "", "  ")
}
