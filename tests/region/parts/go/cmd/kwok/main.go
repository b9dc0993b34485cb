// Command kwok plays nodes and pods that do not exist: the controllers of sigs.k8s.io/kwok with
// its own default stages and flags. Its server of invented logs and metrics is left out; it needs
// newer Kubernetes modules than the release that we test with.
package main

import (
	"context"
	"flag"
	"os"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"sigs.k8s.io/kwok/kustomize/stage/node/fast"
	heartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/client/clientset/versioned"
	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/kwok/controllers"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/client"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

// leaseSeconds is how long a played node counts as alive after its last sign of life.
const leaseSeconds = 40

type options struct {
	kubeconfig string
	all        bool
	labels     string
	annotation string
	stages     string
}

func main() {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "path of a kubeconfig")
	flag.BoolVar(&o.all, "manage-all-nodes", false, "play every node")
	flag.StringVar(&o.labels, "manage-nodes-with-label-selector", "", "play nodes with these labels")
	flag.StringVar(&o.annotation, "manage-nodes-with-annotation-selector", "", "play nodes with these annotations")
	flag.StringVar(&o.stages, "config", "", "files with Stages, by comma, instead of the defaults")
	flag.Parse()
	ctx := signals.SetupSignalContext()
	if err := run(ctx, o); err != nil {
		log.FromContext(ctx).Error("kwok ends", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	settings := config.GetKwokConfiguration(ctx).Options
	stages, err := o.loadStages(ctx)
	if err != nil {
		return err
	}
	conf := controllers.Config{
		Clock: clock.RealClock{}, LocalStages: stages,
		ManageAllNodes:               o.all,
		ManageNodesWithLabelSelector: o.labels, ManageNodesWithAnnotationSelector: o.annotation,
		CIDR: settings.CIDR, NodeIP: "127.0.0.1", NodeName: "kwok",
		PodPlayStageParallelism:         settings.PodPlayStageParallelism,
		NodePlayStageParallelism:        settings.NodePlayStageParallelism,
		NodeLeaseParallelism:            settings.NodeLeaseParallelism,
		NodeLeaseDurationSeconds:        leaseSeconds,
		PodsOnNodeSyncParallelism:       settings.PodsOnNodeSyncParallelism,
		EnablePodsOnNodeSyncListPager:   settings.EnablePodsOnNodeSyncListPager,
		EnablePodsOnNodeSyncStreamWatch: settings.EnablePodsOnNodeSyncStreamWatch,
	}
	if conf.ID, err = controllers.Identity(); err != nil {
		return err
	}
	if err := connect(&conf, o.kubeconfig); err != nil {
		return err
	}
	controller, err := controllers.NewController(conf)
	if err != nil {
		return err
	}
	if err := controller.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (o options) loadStages(ctx context.Context) (map[internalversion.StageResourceRef][]*internalversion.Stage, error) {
	var stages []*internalversion.Stage
	if o.stages != "" {
		objects, err := config.Load(ctx, strings.Split(o.stages, ",")...)
		if err != nil {
			return nil, err
		}
		stages = config.FilterWithType[*internalversion.Stage](objects)
	} else {
		for _, text := range []string{
			fast.DefaultNodeInit, heartbeat.DefaultNodeHeartbeatWithLease,
			podfast.DefaultPodReady, podfast.DefaultPodComplete, podfast.DefaultPodDelete,
		} {
			stage, err := config.UnmarshalWithType[*internalversion.Stage](text)
			if err != nil {
				return nil, err
			}
			stages = append(stages, stage)
		}
	}
	grouped := map[internalversion.StageResourceRef][]*internalversion.Stage{}
	for _, stage := range stages {
		grouped[stage.Spec.ResourceRef] = append(grouped[stage.Spec.ResourceRef], stage)
	}
	return grouped, nil
}

func connect(conf *controllers.Config, kubeconfig string) error {
	clients, err := client.NewClientset("", kubeconfig)
	if err != nil {
		return err
	}
	restConfig, err := clients.ToRESTConfig()
	if err != nil {
		return err
	}
	if conf.DynamicClient, err = clients.ToDynamicClient(); err != nil {
		return err
	}
	if conf.RESTMapper, err = clients.ToRESTMapper(); err != nil {
		return err
	}
	if conf.RESTClient, err = rest.RESTClientFor(restConfig); err != nil {
		return err
	}
	if conf.TypedClient, err = kubernetes.NewForConfig(restConfig); err != nil {
		return err
	}
	conf.ImpersonatingDynamicClient = clients.ToImpersonatingDynamicClient()
	conf.ImpersonatingTypedClient = clients.ToImpersonatingTypedClient()
	conf.TypedKwokClient, err = versioned.NewForConfig(restConfig)
	return err
}
