package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

// followNodes does what k3s does when nodes come and go: the cloud speaks for a new one, the
// server's own node gets its role, a deleted node's password is forgotten, and CoreDNS learns the
// nodes' names.
func (s *Server) followNodes(ctx context.Context) {
	factory := informers.NewSharedInformerFactory(s.client, 0)
	nodes := factory.Core().V1().Nodes()
	changed := make(chan struct{}, 1)
	note := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	_, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { note() },
		DeleteFunc: func(object any) {
			if node, isNode := object.(*corev1.Node); isNode {
				s.forget(ctx, node.Name)
			}
			note()
		},
		UpdateFunc: func(before, after any) {
			if address(before.(*corev1.Node)) != address(after.(*corev1.Node)) {
				note()
			}
		},
	})
	if err != nil {
		s.group.Fail(err)
		return
	}
	factory.Start(ctx.Done())
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		all, err := nodes.Lister().List(labels.Everything())
		if err == nil {
			err = s.noteNodes(ctx, all)
		}
		if err != nil {
			log.Printf("The nodes' names are not told yet: %v", err)
			time.AfterFunc(time.Second, note)
		}
	}
}

func (s *Server) forget(ctx context.Context, node string) {
	err := s.client.CoreV1().Secrets(systemSpace).Delete(ctx, passwordSecret(node), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		log.Printf("The password of the deleted node %s is not forgotten: %v", node, err)
	}
}

func (s *Server) noteNodes(ctx context.Context, nodes []*corev1.Node) error {
	for _, node := range nodes {
		if err := s.initialize(ctx, node); err != nil {
			return err
		}
	}
	for _, node := range nodes {
		if node.Name != s.options.node || node.Labels[controlPlaneLabel] == "true" {
			continue
		}
		patch := fmt.Sprintf(`{"metadata":{"labels":{%q:"true"}}}`, controlPlaneLabel)
		_, err := s.client.CoreV1().Nodes().Patch(ctx, node.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil {
			return err
		}
	}
	if s.options.disabled["coredns"] {
		return nil
	}
	return s.tellNames(ctx, nodes)
}

func (s *Server) tellNames(ctx context.Context, nodes []*corev1.Node) error {
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"NodeHosts": hostsFile(nodes)}})
	if err != nil {
		return err
	}
	_, err = s.client.CoreV1().ConfigMaps(systemSpace).Patch(ctx, "coredns", types.StrategicMergePatchType, patch,
		metav1.PatchOptions{FieldManager: "k3s-nodes"})
	return err
}

func hostsFile(nodes []*corev1.Node) string {
	var lines []string
	for _, node := range nodes {
		if found := address(node); found != "" {
			lines = append(lines, found+" "+node.Name+"\n")
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}

func address(node *corev1.Node) string {
	for _, found := range node.Status.Addresses {
		if found.Type == corev1.NodeInternalIP {
			return found.Address
		}
	}
	return ""
}
