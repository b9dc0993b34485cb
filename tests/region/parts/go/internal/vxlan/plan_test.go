package vxlan

import (
	"encoding/json"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func newNode(name, address, pods string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: Annotations(address, MAC(name).String())},
		Spec:       corev1.NodeSpec{PodCIDR: pods},
	}
}

func TestPeersAreAllOtherNodesThatHaveToldEnough(t *testing.T) {
	silent := newNode("silent", "10.0.0.4", "10.42.3.0/24")
	silent.Annotations = nil
	foreign := newNode("foreign", "10.0.0.6", "10.42.5.0/24")
	foreign.Annotations[annotations+"backend-data"] = `{"VNI":2,"VtepMAC":"02:00:00:00:00:01"}`

	plan := NewPlan("one", []*corev1.Node{
		newNode("three", "10.0.0.3", "10.42.2.0/24"), newNode("one", "10.0.0.1", "10.42.0.0/24"),
		newNode("two", "10.0.0.2", "10.42.1.0/24"), silent, newNode("new", "10.0.0.5", ""), foreign,
	})

	if len(plan.Peers) != 2 || plan.Peers[0].Node != "three" || plan.Peers[1].Node != "two" {
		t.Fatalf("peers %+v", plan.Peers)
	}
	want := Peer{
		Node: "two", Address: netip.MustParseAddr("10.0.0.2"), MAC: MAC("two").String(),
		Pods: netip.MustParsePrefix("10.42.1.0/24"),
	}
	if plan.Peers[1] != want || plan.Peers[1].Gateway().String() != "10.42.1.0" {
		t.Fatalf("peer %+v", plan.Peers[1])
	}
}

func TestANodeThatIsGoneIsNotInTheNextPlan(t *testing.T) {
	one, two := newNode("one", "10.0.0.1", "10.42.0.0/24"), newNode("two", "10.0.0.2", "10.42.1.0/24")

	if plan := NewPlan("one", []*corev1.Node{one, two}); len(plan.Peers) != 1 {
		t.Fatalf("peers %+v", plan.Peers)
	}
	if plan := NewPlan("one", []*corev1.Node{one}); len(plan.Peers) != 0 {
		t.Fatalf("peers %+v", plan.Peers)
	}
}

func TestHardwareAddressesAreUsableAndStable(t *testing.T) {
	for _, name := range []string{"ip-10-40-1-4", "ip-10-40-1-5", "x"} {
		mac := MAC(name)
		if len(mac) != 6 || mac[0]&1 != 0 || mac[0]&2 == 0 {
			t.Errorf("%s: %s is not a locally administered unicast address", name, mac)
		}
		if mac.String() != MAC(name).String() {
			t.Errorf("%s: not stable", name)
		}
	}
	if MAC("a").String() == MAC("b").String() {
		t.Error("two nodes share an address")
	}
}

func TestConfListNamesTheNodesOwnPods(t *testing.T) {
	content, err := ConfList("10.42.7.0/24", 1450)
	if err != nil {
		t.Fatal(err)
	}
	var conf struct {
		Plugins []struct {
			Type string `json:"type"`
			MTU  int    `json:"mtu"`
			IPAM struct {
				Ranges [][]struct{ Subnet string } `json:"ranges"`
			} `json:"ipam"`
		} `json:"plugins"`
	}
	if err := json.Unmarshal(content, &conf); err != nil {
		t.Fatal(err)
	}
	bridge := conf.Plugins[0]
	if bridge.Type != "bridge" || bridge.MTU != 1450 || bridge.IPAM.Ranges[0][0].Subnet != "10.42.7.0/24" {
		t.Fatalf("%s", content)
	}
	if _, err := ConfList("", 1450); err == nil {
		t.Error("a node without a pod network got a configuration")
	}
}
