package server

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterous.test/parts/internal/agent"
)

const instanceType = "k3s"

// initialize is what k3s' own cloud controller does about a new node; until then the scheduler
// passes the node over.
func (s *Server) initialize(ctx context.Context, node *corev1.Node) error {
	wanted := initialized(node)
	if wanted == nil || s.settings.Flag("disable-cloud-controller") {
		return nil
	}
	_, err := s.client.CoreV1().Nodes().Update(ctx, wanted, metav1.UpdateOptions{FieldManager: "k3s-cloud-controller-manager"})
	return err
}

// initialized returns the node as its cloud knows it; nil if nothing is to be done (yet). It keeps
// a provider's identifier that the kubelet came with.
func initialized(node *corev1.Node) *corev1.Node {
	var kept []corev1.Taint
	for _, taint := range node.Spec.Taints {
		if taint.Key != agent.CloudTaint {
			kept = append(kept, taint)
		}
	}
	if len(kept) == len(node.Spec.Taints) || address(node) == "" {
		return nil
	}
	wanted := node.DeepCopy()
	wanted.Spec.Taints = kept
	if wanted.Spec.ProviderID == "" {
		wanted.Spec.ProviderID = "k3s://" + node.Name
	}
	if wanted.Labels == nil {
		wanted.Labels = map[string]string{}
	}
	wanted.Labels[corev1.LabelInstanceTypeStable] = instanceType
	wanted.Labels[corev1.LabelInstanceType] = instanceType
	return wanted
}
