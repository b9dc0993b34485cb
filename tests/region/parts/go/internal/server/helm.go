package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"sort"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
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
	lookAtJob     = time.Second
)

var helmCharts = schema.GroupVersionResource{Group: "helm.cattle.io", Version: "v1", Resource: "helmcharts"}

// chart is a HelmChart as far as the stand-in knows it.
type chart struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     chartSpec         `json:"spec"`
}

type chartSpec struct {
	Bootstrap       bool           `json:"bootstrap,omitempty"`
	Chart           string         `json:"chart,omitempty"`
	ChartContent    string         `json:"chartContent,omitempty"`
	Repo            string         `json:"repo,omitempty"`
	Version         string         `json:"version,omitempty"`
	TargetNamespace string         `json:"targetNamespace,omitempty"`
	CreateNamespace bool           `json:"createNamespace,omitempty"`
	ValuesContent   string         `json:"valuesContent,omitempty"`
	Set             map[string]any `json:"set,omitempty"`
}

// helm lets a Job install each HelmChart. What helm fails with is told by the Job's pod alone:
// the object's condition Failed is about what keeps the Job from being made.
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
		return h.report(ctx, object, "", err)
	}
	if wanted.Metadata.DeletionTimestamp != nil {
		return h.uninstall(ctx, key, wanted)
	}
	if err := wanted.check(); err != nil {
		return errors.Join(err, h.report(ctx, object, "", err))
	}
	if err := h.hold(ctx, wanted); err != nil {
		return err
	}
	return h.install(ctx, key, object, wanted)
}

// check refuses what k3s can do and the stand-in cannot.
func (c chart) check() error {
	if c.Spec.ChartContent == "" || c.Spec.Repo != "" {
		return errors.New("the k3s stand-in has no chart repositories (spec.chart, spec.repo): give spec.chartContent")
	}
	return nil
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

// arguments are those of `helm upgrade --install`, after the release and the chart.
func (c chart) arguments() []string {
	arguments := []string{"--namespace", c.namespace(), "--values", "/config/values.yaml", "--history-max", "5"}
	if c.Spec.CreateNamespace {
		arguments = append(arguments, "--create-namespace")
	}
	return append(arguments, c.sets()...)
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

// install makes the Job, anew if it was made for another content.
func (h *helm) install(ctx context.Context, key string, object *unstructured.Unstructured, wanted chart) error {
	hash, err := wanted.hash()
	if err != nil {
		return err
	}
	job := h.job(wanted, "install", wanted.arguments())
	job.Annotations = map[string]string{helmHash: hash}
	found, err := h.server.client.BatchV1().Jobs(job.Namespace).Get(ctx, job.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return err
	case found.Annotations[helmHash] == hash:
		return nil
	default:
		return h.removeJob(ctx, key, found)
	}
	if err := h.prepare(ctx, wanted); err != nil {
		return err
	}
	if _, err := h.server.client.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{}); err != nil {
		return errors.Join(err, h.report(ctx, object, "", err))
	}
	log.Printf("HelmChart %s is left to the job %s", key, job.Name)
	return h.report(ctx, object, job.Name, nil)
}

func (h *helm) removeJob(ctx context.Context, key string, job *batchv1.Job) error {
	h.queue.AddAfter(key, lookAtJob)
	policy := metav1.DeletePropagationForeground
	err := h.server.client.BatchV1().Jobs(job.Namespace).Delete(ctx, job.Name, metav1.DeleteOptions{PropagationPolicy: &policy})
	return ignoreNotFound(err)
}

// uninstall lets a Job remove the release, and then the object go.
func (h *helm) uninstall(ctx context.Context, key string, gone chart) error {
	if !contains(gone.Metadata.Finalizers, helmFinalizer) {
		return nil
	}
	job := h.job(gone, "delete", []string{"--namespace", gone.namespace(), "--ignore-not-found"})
	jobs := h.server.client.BatchV1().Jobs(job.Namespace)
	found, err := jobs.Get(ctx, job.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		h.queue.AddAfter(key, lookAtJob)
		_, err = jobs.Create(ctx, job, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	if found.Status.Succeeded == 0 {
		h.queue.AddAfter(key, lookAtJob)
		return nil
	}
	if err := h.removeAll(ctx, gone); err != nil {
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

func (h *helm) patch(ctx context.Context, object metav1.ObjectMeta, change map[string]any, part ...string) error {
	content, err := json.Marshal(change)
	if err != nil {
		return err
	}
	_, err = h.dynamic.Resource(helmCharts).Namespace(object.Namespace).Patch(
		ctx, object.Name, types.MergePatchType, content, metav1.PatchOptions{FieldManager: "helm-controller"}, part...)
	return err
}

// report says which job is at it, or why there is none.
func (h *helm) report(ctx context.Context, object *unstructured.Unstructured, job string, problem error) error {
	created := map[string]any{"type": "JobCreated", "status": "True", "reason": "Job created", "message": "Applying HelmChart using Job " + object.GetNamespace() + "/" + job}
	failed := map[string]any{"type": "Failed", "status": "False"}
	if problem != nil {
		created = map[string]any{"type": "JobCreated", "status": "False"}
		failed = map[string]any{"type": "Failed", "status": "True", "reason": "Job create failed", "message": problem.Error()}
	}
	meta := metav1.ObjectMeta{Namespace: object.GetNamespace(), Name: object.GetName()}
	status := map[string]any{"jobName": job, "conditions": []any{created, failed}}
	return h.patch(ctx, meta, map[string]any{"status": status}, "status")
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
