package agent

import (
	"context"
	"log"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"clusterous.test/parts/internal/process"
)

// keepPolicies has k3s' own controller of network policies, which is kube-router's, keep the rules
// of this node's pods. As in k3s it begins once the cloud has spoken of the node; until a pod's
// chain is written everybody reaches that pod. Unlike in k3s it waits for the cluster's first
// policy: without one it lets everything through, and writes some thousand rules to say so.
func (a *Agent) keepPolicies(ctx context.Context, client kubernetes.Interface) {
	if a.waitForNode(ctx, client, isUntainted) != nil || waitForPolicy(ctx, client) != nil {
		return
	}
	argv := []string{
		filepath.Join(a.bin, "kube-router"), "--kubeconfig=" + a.kubeconfig("k3s-controller"),
		"--hostname-override=" + a.node, "--service-cluster-ip-range=" + a.cluster.ServiceCIDR,
		"--run-firewall", "--run-router=false", "--run-service-proxy=false", "--health-port=0",
	}
	if err := a.group.Start("kube-router", argv, a.paths(), os.Stderr); err != nil {
		a.group.Fail(err)
		return
	}
	log.Printf("Node %s keeps network policies", a.node)
}

// waitForPolicy follows the cluster's policies until it hears of one.
func waitForPolicy(ctx context.Context, client kubernetes.Interface) error {
	return process.WaitFor(ctx, retryEvery, func() bool {
		told, err := client.NetworkingV1().NetworkPolicies("").Watch(ctx, metav1.ListOptions{})
		if err != nil {
			return false
		}
		defer told.Stop()
		one, open := <-told.ResultChan()
		return open && one.Type != watch.Error
	})
}

func isUntainted(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == CloudTaint {
			return false
		}
	}
	return true
}
