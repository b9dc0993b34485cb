package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	helmFinalizer = "wrangler.cattle.io/on-helm-chart-remove"
	helmHash      = "helmcharts.cattle.io/configHash"
	helmTimeout   = 5 * time.Minute
)

var helmCharts = schema.GroupVersionResource{Group: "helm.cattle.io", Version: "v1", Resource: "helmcharts"}

// chart is a HelmChart as far as the stand-in knows it.
type chart struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     chartSpec         `json:"spec"`
}

type chartSpec struct {
	Chart           string         `json:"chart,omitempty"`
	ChartContent    string         `json:"chartContent,omitempty"`
	Repo            string         `json:"repo,omitempty"`
	Version         string         `json:"version,omitempty"`
	TargetNamespace string         `json:"targetNamespace,omitempty"`
	CreateNamespace bool           `json:"createNamespace,omitempty"`
	ValuesContent   string         `json:"valuesContent,omitempty"`
	Set             map[string]any `json:"set,omitempty"`
}

// helm installs HelmChart objects with the helm program. (k3s runs it in a Job.)
type helm struct {
	server   *Server
	dynamic  dynamic.Interface
	queue    workqueue.TypedRateLimitingInterface[string]
	informer cache.SharedIndexInformer
}

func newHelm(s *Server, client dynamic.Interface) *helm {
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	limit := workqueue.NewTypedItemExponentialFailureRateLimiter[string](2*time.Second, time.Minute)
	return &helm{
		server: s, dynamic: client, informer: factory.ForResource(helmCharts).Informer(),
		queue: workqueue.NewTypedRateLimitingQueue(limit),
	}
}

func (h *helm) run(ctx context.Context) {
	add := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			h.queue.Add(key)
		}
	}
	_, err := h.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: add, UpdateFunc: func(_, after any) { add(after) },
	})
	if err != nil {
		h.server.group.Fail(err)
		return
	}
	go h.informer.RunWithContext(ctx)
	go func() {
		<-ctx.Done()
		h.queue.ShutDown()
	}()
	for {
		key, shutdown := h.queue.Get()
		if shutdown {
			return
		}
		if err := h.reconcile(ctx, key); err != nil {
			log.Printf("HelmChart %s: %v", key, err)
			h.queue.AddRateLimited(key)
		} else {
			h.queue.Forget(key)
		}
		h.queue.Done(key)
	}
}

func (h *helm) reconcile(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	// Fresh, not from the cache: that may not have seen our own last change yet.
	object, err := h.dynamic.Resource(helmCharts).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return ignoreNotFound(err)
	}
	var wanted chart
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &wanted); err != nil {
		return h.report(ctx, object, "Invalid", err)
	}
	if wanted.Metadata.DeletionTimestamp != nil {
		return h.uninstall(ctx, wanted)
	}
	hash, err := wanted.hash()
	if err != nil {
		return err
	}
	if wanted.Metadata.Annotations[helmHash] == hash {
		return nil
	}
	if err := h.install(ctx, wanted); err != nil {
		return errors.Join(err, h.report(ctx, object, "InstallFailed", err))
	}
	log.Printf("HelmChart %s is installed", key)
	if err := h.report(ctx, object, "", nil); err != nil {
		return err
	}
	return h.mark(ctx, wanted, hash)
}

func (c chart) hash() (string, error) {
	content, err := json.Marshal(c.Spec)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(content)
	return "SHA256=" + strings.ToUpper(hex.EncodeToString(digest[:])), nil
}

func (c chart) namespace() string {
	if c.Spec.TargetNamespace != "" {
		return c.Spec.TargetNamespace
	}
	return c.Metadata.Namespace
}

func (h *helm) install(ctx context.Context, wanted chart) error {
	if wanted.Spec.Repo != "" {
		return errors.New("the k3s stand-in has no chart repositories (spec.repo): give chartContent")
	}
	if err := h.hold(ctx, wanted); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "helmchart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	arguments, err := wanted.arguments(dir)
	if err != nil {
		return err
	}
	err = h.helm(ctx, wanted.namespace(), arguments...)
	if err != nil && strings.Contains(err.Error(), "another operation") {
		// A server that was killed in the middle leaves the release locked.
		err = errors.Join(err, h.helm(ctx, wanted.namespace(), "uninstall", wanted.Metadata.Name, "--ignore-not-found"))
	}
	return err
}

func (c chart) arguments(dir string) ([]string, error) {
	source := c.Spec.Chart
	if c.Spec.ChartContent != "" {
		archive, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(c.Spec.ChartContent), ""))
		if err != nil {
			return nil, fmt.Errorf("spec.chartContent: %w", err)
		}
		source = filepath.Join(dir, c.Metadata.Name+".tgz")
		if err := os.WriteFile(source, archive, 0o600); err != nil {
			return nil, err
		}
	}
	if source == "" {
		return nil, errors.New("neither spec.chartContent nor spec.chart is given")
	}
	values := filepath.Join(dir, "values.yaml")
	if err := os.WriteFile(values, []byte(c.Spec.ValuesContent), 0o600); err != nil {
		return nil, err
	}
	arguments := []string{"upgrade", "--install", c.Metadata.Name, source, "--values", values, "--history-max", "5"}
	if c.Spec.Version != "" && c.Spec.ChartContent == "" {
		arguments = append(arguments, "--version", c.Spec.Version)
	}
	if c.Spec.CreateNamespace {
		arguments = append(arguments, "--create-namespace")
	}
	return append(arguments, c.sets()...), nil
}

func (c chart) sets() []string {
	var names, arguments []string
	for name := range c.Spec.Set {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		option := "--set"
		if _, isText := c.Spec.Set[name].(string); isText {
			option = "--set-string"
		}
		arguments = append(arguments, option, fmt.Sprintf("%s=%v", name, c.Spec.Set[name]))
	}
	return arguments
}

func (h *helm) uninstall(ctx context.Context, gone chart) error {
	if !contains(gone.Metadata.Finalizers, helmFinalizer) {
		return nil
	}
	err := h.helm(ctx, gone.namespace(), "uninstall", gone.Metadata.Name, "--ignore-not-found")
	if err != nil {
		return err
	}
	var kept []string
	for _, finalizer := range gone.Metadata.Finalizers {
		if finalizer != helmFinalizer {
			kept = append(kept, finalizer)
		}
	}
	return h.patch(ctx, gone.Metadata, map[string]any{"metadata": map[string]any{"finalizers": kept}})
}

// hold keeps the object until its release is uninstalled.
func (h *helm) hold(ctx context.Context, wanted chart) error {
	if contains(wanted.Metadata.Finalizers, helmFinalizer) {
		return nil
	}
	finalizers := append(append([]string{}, wanted.Metadata.Finalizers...), helmFinalizer)
	return h.patch(ctx, wanted.Metadata, map[string]any{"metadata": map[string]any{"finalizers": finalizers}})
}

func (h *helm) mark(ctx context.Context, done chart, hash string) error {
	annotations := map[string]any{helmHash: hash}
	return h.patch(ctx, done.Metadata, map[string]any{"metadata": map[string]any{"annotations": annotations}})
}

func (h *helm) patch(ctx context.Context, object metav1.ObjectMeta, change map[string]any, part ...string) error {
	content, err := json.Marshal(change)
	if err != nil {
		return err
	}
	_, err = h.dynamic.Resource(helmCharts).Namespace(object.Namespace).Patch(
		ctx, object.Name, types.MergePatchType, content, metav1.PatchOptions{FieldManager: "helm-controller"}, part...)
	return err
}

// report puts the outcome where people look.
func (h *helm) report(ctx context.Context, object *unstructured.Unstructured, reason string, problem error) error {
	condition := map[string]any{"type": "Failed", "status": "False"}
	if problem != nil {
		condition = map[string]any{"type": "Failed", "status": "True", "reason": reason, "message": problem.Error()}
	}
	meta := metav1.ObjectMeta{Namespace: object.GetNamespace(), Name: object.GetName()}
	return h.patch(ctx, meta, map[string]any{"status": map[string]any{"conditions": []any{condition}}}, "status")
}

func (h *helm) helm(ctx context.Context, namespace string, arguments ...string) error {
	ctx, cancel := context.WithTimeout(ctx, helmTimeout)
	defer cancel()
	base := []string{"--kubeconfig", h.server.options.kubeconfig("admin"), "--namespace", namespace}
	command := exec.CommandContext(ctx, filepath.Join(h.server.bin, "helm"), append(arguments, base...)...)
	home := filepath.Join(h.server.options.dir, "helm")
	command.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("helm %s: %w: %s", arguments[0], err, strings.TrimSpace(string(output)))
	}
	return nil
}

func contains(all []string, one string) bool {
	for _, item := range all {
		if item == one {
			return true
		}
	}
	return false
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
