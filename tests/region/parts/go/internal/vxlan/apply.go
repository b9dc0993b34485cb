package vxlan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Network is the vxlan device of this node.
type Network struct {
	link netlink.Link
	MTU  int
}

// Open makes the device on the interface that has *address*, or takes the one that is there.
func Open(node string, address netip.Addr) (*Network, error) {
	parent, err := linkWith(address)
	if err != nil {
		return nil, err
	}
	wanted := &netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{
			Name: Device, MTU: parent.Attrs().MTU - overhead, HardwareAddr: MAC(node),
		},
		VxlanId: vni, Port: port, VtepDevIndex: parent.Attrs().Index, SrcAddr: address.AsSlice(),
	}
	if err := replaceLink(wanted); err != nil {
		return nil, fmt.Errorf("the vxlan device cannot be made: %w", err)
	}
	link, err := netlink.LinkByName(Device)
	if err != nil {
		return nil, err
	}
	return &Network{link: link, MTU: wanted.MTU}, netlink.LinkSetUp(link)
}

func linkWith(address netip.Addr) (netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return nil, err
		}
		for _, found := range addresses {
			if found.IP.Equal(address.AsSlice()) {
				return link, nil
			}
		}
	}
	return nil, fmt.Errorf("no interface has the node's address %s", address)
}

func replaceLink(wanted *netlink.Vxlan) error {
	found, err := netlink.LinkByName(Device)
	if err == nil {
		if isSame(found, wanted) {
			return nil
		}
		if err := netlink.LinkDel(found); err != nil {
			return err
		}
	}
	return netlink.LinkAdd(wanted)
}

func isSame(found netlink.Link, wanted *netlink.Vxlan) bool {
	device, isVxlan := found.(*netlink.Vxlan)
	return isVxlan && device.VxlanId == wanted.VxlanId && device.Port == wanted.Port &&
		device.SrcAddr.Equal(wanted.SrcAddr) && device.VtepDevIndex == wanted.VtepDevIndex &&
		device.MTU == wanted.MTU && device.HardwareAddr.String() == wanted.HardwareAddr.String()
}

// SetAddress gives the device the first address of this node's pod network.
func (n *Network) SetAddress(pods netip.Prefix) error {
	address := &netlink.Addr{IPNet: hostNet(pods.Masked().Addr())}
	return netlink.AddrReplace(n.link, address)
}

// Apply makes neighbours, forwarding entries and routes as planned, and removes all others.
func (n *Network) Apply(plan Plan) error {
	var problems []error
	for _, peer := range plan.Peers {
		problems = append(problems, n.add(peer))
	}
	problems = append(problems, n.prune(plan))
	return errors.Join(problems...)
}

func (n *Network) add(peer Peer) error {
	mac, err := net.ParseMAC(peer.MAC)
	if err != nil {
		return err
	}
	index := n.link.Attrs().Index
	return errors.Join(
		netlink.NeighSet(&netlink.Neigh{
			LinkIndex: index, State: netlink.NUD_PERMANENT, Type: unix.RTN_UNICAST,
			IP: peer.Gateway().AsSlice(), HardwareAddr: mac,
		}),
		netlink.NeighSet(&netlink.Neigh{
			LinkIndex: index, State: netlink.NUD_PERMANENT, Family: unix.AF_BRIDGE,
			Flags: netlink.NTF_SELF, IP: peer.Address.AsSlice(), HardwareAddr: mac,
		}),
		netlink.RouteReplace(&netlink.Route{
			LinkIndex: index, Dst: ipNet(peer.Pods), Gw: peer.Gateway().AsSlice(),
			Flags: int(netlink.FLAG_ONLINK),
		}),
	)
}

func (n *Network) prune(plan Plan) error {
	gateways, destinations := map[string]bool{}, map[string]bool{}
	for _, peer := range plan.Peers {
		gateways[peer.Gateway().String()] = true
		destinations[peer.MAC+" "+peer.Address.String()] = true
	}
	return errors.Join(
		n.pruneRoutes(gateways),
		n.pruneNeighbours(netlink.FAMILY_V4, func(found netlink.Neigh) bool {
			return gateways[found.IP.String()]
		}),
		n.pruneNeighbours(unix.AF_BRIDGE, func(found netlink.Neigh) bool {
			return destinations[found.HardwareAddr.String()+" "+found.IP.String()]
		}),
	)
}

func (n *Network) pruneRoutes(gateways map[string]bool) error {
	routes, err := netlink.RouteList(n.link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, route := range routes {
		if route.Gw != nil && !gateways[route.Gw.String()] {
			err = errors.Join(err, netlink.RouteDel(&route))
		}
	}
	return err
}

func (n *Network) pruneNeighbours(family int, isWanted func(netlink.Neigh) bool) error {
	neighbours, err := netlink.NeighList(n.link.Attrs().Index, family)
	if err != nil {
		return err
	}
	for _, found := range neighbours {
		if found.State&netlink.NUD_PERMANENT != 0 && found.IP != nil && !isWanted(found) {
			err = errors.Join(err, netlink.NeighDel(&found))
		}
	}
	return err
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   prefix.Masked().Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
	}
}

func hostNet(address netip.Addr) *net.IPNet {
	return ipNet(netip.PrefixFrom(address, address.BitLen()))
}

// PrepareHost lets the kernel forward pods' packets, and masks those that leave the cluster.
func PrepareHost(clusterCIDR string) error {
	for path, value := range map[string]string{
		"/proc/sys/net/ipv4/ip_forward":                 "1",
		"/proc/sys/net/bridge/bridge-nf-call-iptables":  "1",
		"/proc/sys/net/bridge/bridge-nf-call-ip6tables": "1",
	} {
		if err := setSysctl(path, value); err != nil {
			return err
		}
	}
	for _, rule := range [][]string{
		{"filter", "FORWARD", "-s", clusterCIDR, "-j", "ACCEPT"},
		{"filter", "FORWARD", "-d", clusterCIDR, "-j", "ACCEPT"},
		{"nat", "POSTROUTING", "-s", clusterCIDR, "!", "-d", clusterCIDR, "!", "-o", "cni0", "-j", "MASQUERADE"},
	} {
		if err := ensureRule(rule[0], rule[1], rule[2:]); err != nil {
			return err
		}
	}
	return nil
}

func setSysctl(path, value string) error {
	if found, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(found)) == value {
		return nil
	}
	return os.WriteFile(path, []byte(value), 0o644)
}

func ensureRule(table, chain string, rule []string) error {
	arguments := func(action string) []string {
		return append([]string{"-w", "5", "-t", table, action, chain}, rule...)
	}
	if exec.Command("iptables", arguments("-C")...).Run() == nil {
		return nil
	}
	if output, err := exec.Command("iptables", arguments("-A")...).CombinedOutput(); err != nil {
		return fmt.Errorf("iptables %s: %w: %s", strings.Join(rule, " "), err, output)
	}
	return nil
}
