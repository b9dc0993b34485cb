package server

import (
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func newChart(spec chartSpec) chart {
	return chart{Metadata: metav1.ObjectMeta{Name: "clusterous", Namespace: "kube-system"}, Spec: spec}
}

func TestAChartIsInstalledByAJobThatNeverGivesUp(t *testing.T) {
	h := &helm{server: &Server{bin: "/k3s/bin"}}
	wanted := newChart(chartSpec{ChartContent: "eA==", TargetNamespace: "there", CreateNamespace: true, Set: map[string]any{"b": "1", "a": 2}})

	job := h.job(wanted, "install", wanted.arguments())

	if job.Name != "helm-install-clusterous" || job.Namespace != "kube-system" || *job.Spec.BackoffLimit != 1000 {
		t.Errorf("%+v", job.ObjectMeta)
	}
	want := []string{
		"install", "clusterous", "--namespace", "there", "--values", "/config/values.yaml", "--history-max", "5",
		"--create-namespace", "--set", "a=2", "--set-string", "b=1",
	}
	pod := job.Spec.Template.Spec
	if got := pod.Containers[0].Args; !reflect.DeepEqual(got, want) {
		t.Errorf("arguments %q", got)
	}
	if pod.HostNetwork || len(pod.Containers[0].Env) > 0 {
		t.Error("it does not bootstrap")
	}
}

func TestAChartThatBootstrapsNeedsNoNetworkOfPods(t *testing.T) {
	h := &helm{server: &Server{}}

	pod := h.job(newChart(chartSpec{Bootstrap: true}), "install", nil).Spec.Template.Spec

	if !pod.HostNetwork || pod.Containers[0].Env[0].Value != "127.0.0.1" || len(pod.Tolerations) != 3 {
		t.Errorf("%+v", pod)
	}
}

func TestOnlyChartsThatAreGivenWholeAreTaken(t *testing.T) {
	for _, spec := range []chartSpec{{}, {Chart: "x", Repo: "https://x"}, {ChartContent: "eA==", Repo: "https://x"}} {
		if newChart(spec).check() == nil {
			t.Errorf("%+v was taken", spec)
		}
	}
	if err := newChart(chartSpec{ChartContent: "eA=="}).check(); err != nil {
		t.Error(err)
	}
}
