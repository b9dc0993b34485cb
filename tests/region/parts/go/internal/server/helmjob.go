package server

import (
	"context"
	"errors"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	helmImage   = "rancher/klipper-helm:v0.9.17-build20260422"
	helmBackOff = 1000
	chartLabel  = "helmcharts.helm.cattle.io/chart"
)

// job is what runs helm. The stand-in's image has no helm of its own: it is the node's.
func (h *helm) job(of chart, action string, arguments []string) *batchv1.Job {
	backOff := int32(helmBackOff)
	name := "helm-" + action + "-" + of.Metadata.Name
	labels := map[string]string{chartLabel: of.Metadata.Name}
	container := corev1.Container{
		Name: "helm", Image: helmImage, ImagePullPolicy: corev1.PullIfNotPresent,
		Args: append([]string{action, of.Metadata.Name}, arguments...),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "programs", MountPath: "/programs", ReadOnly: true}, {Name: "content", MountPath: "/chart"},
			{Name: "values", MountPath: "/config"}, {Name: "tmp", MountPath: "/tmp"},
		},
	}
	isOptional := true
	pod := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyOnFailure, ServiceAccountName: "helm-" + of.Metadata.Name,
		Volumes: []corev1.Volume{
			{Name: "programs", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: h.server.bin}}},
			{Name: "content", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "chart-content-" + of.Metadata.Name}, Optional: &isOptional,
			}}},
			{Name: "values", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
				SecretName: "chart-values-" + of.Metadata.Name, Optional: &isOptional,
			}}},
			{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
		// The programs are those of the server.
		NodeSelector: map[string]string{controlPlaneLabel: "true"},
		Tolerations:  []corev1.Toleration{{Key: controlPlaneLabel, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
	}
	if of.Spec.Bootstrap {
		bootstrap(&pod, &container)
	}
	pod.Containers = []corev1.Container{container}
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: of.Metadata.Namespace, Labels: labels},
		Spec: batchv1.JobSpec{
			BackoffLimit: &backOff,
			Template:     corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
		},
	}
}

// bootstrap lets the pod run where there is neither a pod network nor a ready node yet.
func bootstrap(pod *corev1.PodSpec, container *corev1.Container) {
	pod.HostNetwork = true
	for _, key := range []string{"node.kubernetes.io/not-ready", "node.cloudprovider.kubernetes.io/uninitialized"} {
		pod.Tolerations = append(pod.Tolerations,
			corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
	}
	container.Env = []corev1.EnvVar{
		{Name: "KUBERNETES_SERVICE_HOST", Value: "127.0.0.1"}, {Name: "KUBERNETES_SERVICE_PORT", Value: "6443"},
	}
}

// prepare makes what the Job's pod needs: the chart, its values, and the right to do everything.
func (h *helm) prepare(ctx context.Context, wanted chart) error {
	meta := func(prefix string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: prefix + wanted.Metadata.Name, Namespace: wanted.Metadata.Namespace}
	}
	if err := h.removeAll(ctx, wanted); err != nil {
		return err
	}
	core, options := h.server.client.CoreV1(), metav1.CreateOptions{}
	space := wanted.Metadata.Namespace
	_, account := core.ServiceAccounts(space).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta("helm-")}, options)
	_, content := core.ConfigMaps(space).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: meta("chart-content-"), Data: map[string]string{wanted.Metadata.Name + ".tgz.base64": wanted.Spec.ChartContent},
	}, options)
	_, values := core.Secrets(space).Create(ctx, &corev1.Secret{
		ObjectMeta: meta("chart-values-"), Data: map[string][]byte{"values.yaml": []byte(wanted.Spec.ValuesContent)},
	}, options)
	_, binding := h.server.client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: bindingOf(wanted)},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "helm-" + wanted.Metadata.Name, Namespace: space}},
	}, options)
	return errors.Join(ignoreExists(account), content, values, ignoreExists(binding))
}

// removeAll leaves the account and its right, without which a Job that still runs could not end.
func (h *helm) removeAll(ctx context.Context, gone chart) error {
	core, space, options := h.server.client.CoreV1(), gone.Metadata.Namespace, metav1.DeleteOptions{}
	return errors.Join(
		ignoreNotFound(core.ConfigMaps(space).Delete(ctx, "chart-content-"+gone.Metadata.Name, options)),
		ignoreNotFound(core.Secrets(space).Delete(ctx, "chart-values-"+gone.Metadata.Name, options)),
	)
}

func bindingOf(of chart) string { return "helm-" + of.Metadata.Namespace + "-" + of.Metadata.Name }

func ignoreExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
