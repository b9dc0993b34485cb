package agent

import (
	"context"
	"log"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
)

// keepPolicies has k3s' own controller of network policies, which is kube-router's, keep the rules
// of this node's pods. As in k3s it begins once the cloud has spoken of the node; until a pod's
// chain is written everybody reaches that pod.
func (a *Agent) keepPolicies(ctx context.Context, client kubernetes.Interface) {
	if a.waitForNode(ctx, client, isUntainted) != nil {
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

func isUntainted(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == CloudTaint {
			return false
		}
	}
	return true
}
