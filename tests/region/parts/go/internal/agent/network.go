package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"clusterous.test/parts/internal/vxlan"
)

// resyncEvery repairs what somebody else changed in the kernel's tables.
const resyncEvery = 30 * time.Second

func (a *Agent) keepNetwork(ctx context.Context, client kubernetes.Interface) error {
	network, err := vxlan.Open(a.node, a.address)
	if err != nil {
		return err
	}
	if err := vxlan.PrepareHost(a.cluster.ClusterCIDR); err != nil {
		return err
	}
	if err := a.announce(ctx, client); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes()
	changed := make(chan struct{}, 1)
	note := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { note() }, DeleteFunc: func(any) { note() },
		UpdateFunc: func(before, after any) {
			if affects(before.(*corev1.Node), after.(*corev1.Node)) {
				note()
			}
		},
	}
	if _, err := nodes.Informer().AddEventHandler(handler); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return a.follow(ctx, network, nodes.Lister(), changed)
}

// affects leaves out the heartbeats.
func affects(before, after *corev1.Node) bool {
	return before.Spec.PodCIDR != after.Spec.PodCIDR ||
		!mapsEqual(before.Annotations, after.Annotations)
}

func mapsEqual(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if b[key] != value {
			return false
		}
	}
	return true
}

func (a *Agent) follow(ctx context.Context, network *vxlan.Network, lister listers.NodeLister, changed <-chan struct{}) error {
	for {
		if err := a.synchronize(network, lister); err != nil {
			log.Printf("The pod network is not complete yet: %v", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(resyncEvery):
		}
	}
}

func (a *Agent) synchronize(network *vxlan.Network, lister listers.NodeLister) error {
	nodes, err := lister.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if node.Name == a.node && node.Spec.PodCIDR != "" {
			err = a.configure(network, node.Spec.PodCIDR)
		}
	}
	return errors.Join(err, network.Apply(vxlan.NewPlan(a.node, nodes)))
}

// configure lets containerd make pods' interfaces; until then the node is not ready.
func (a *Agent) configure(network *vxlan.Network, podCIDR string) error {
	pods, err := netip.ParsePrefix(podCIDR)
	if err != nil {
		return err
	}
	if err := network.SetAddress(pods); err != nil {
		return err
	}
	wanted, err := vxlan.ConfList(podCIDR, network.MTU)
	if err != nil {
		return err
	}
	path := filepath.Join(a.cniDir(), "10-flannel.conflist")
	if found, err := os.ReadFile(path); err == nil && bytes.Equal(found, wanted) {
		return nil
	}
	return os.WriteFile(path, wanted, 0o600)
}

// announce tells the other nodes how to reach this one's pods.
func (a *Agent) announce(ctx context.Context, client kubernetes.Interface) error {
	annotations := vxlan.Annotations(a.address.String(), vxlan.MAC(a.node).String())
	annotations["k3s.io/hostname"] = a.node
	annotations["k3s.io/internal-ip"] = a.address.String()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().Patch(ctx, a.node, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}
