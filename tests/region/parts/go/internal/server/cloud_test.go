package server

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterous.test/parts/internal/agent"
)

func newNode(provider string, addresses ...corev1.NodeAddress) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n"},
		Spec: corev1.NodeSpec{ProviderID: provider, Taints: []corev1.Taint{
			{Key: agent.CloudTaint, Value: "true", Effect: corev1.TaintEffectNoSchedule},
			{Key: controlPlaneLabel, Value: "true", Effect: corev1.TaintEffectNoSchedule},
		}},
		Status: corev1.NodeStatus{Addresses: addresses},
	}
}

func TestANodeIsInitializedOnceItHasAnAddress(t *testing.T) {
	internal := corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.7"}
	for provider, want := range map[string]string{"": "k3s://n", "aws:///z/i-1": "aws:///z/i-1"} {
		if initialized(newNode(provider)) != nil {
			t.Error("without an address")
		}

		found := initialized(newNode(provider, internal))

		if found == nil || found.Spec.ProviderID != want || found.Labels[corev1.LabelInstanceTypeStable] != "k3s" {
			t.Fatalf("%+v", found)
		}
		if taints := found.Spec.Taints; len(taints) != 1 || taints[0].Key != controlPlaneLabel {
			t.Errorf("taints %v", taints)
		}
		if initialized(found) != nil {
			t.Error("a second time")
		}
	}
}
