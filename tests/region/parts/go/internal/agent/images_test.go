package agent

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// TestTheLastArchiveIsNotWaitedFor shows the trap that the node's boot has to know.
func TestTheLastArchiveIsNotWaitedFor(t *testing.T) {
	for _, test := range []struct {
		archives []string
		free     map[string]bool // may end before the wait does
		waits    bool
	}{
		{[]string{"images"}, nil, false},
		{[]string{"images", "zz"}, nil, true},
		{[]string{"images", "zz"}, map[string]bool{"images": true}, false},
	} {
		queue := newImportQueue(test.archives)
		end := make(chan struct{})
		go queue.run(func(archive string) {
			if !test.free[archive] {
				<-end
			}
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)

		err := queue.wait(ctx)

		cancel()
		close(end)
		if waits := err != nil; waits != test.waits {
			t.Errorf("%v, %v free: waits is %v", test.archives, test.free, waits)
		}
	}
}

func TestArchivesComeInTheOrderOfTheirNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"zz.txt", "b.tar.zst", "a.tar", ".cache.json", "notes.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	found, err := archivesIn(dir)

	if err != nil || len(found) != 3 {
		t.Fatalf("%v %v", found, err)
	}
	for i, want := range []string{"a.tar", "b.tar.zst", "zz.txt"} {
		if filepath.Base(found[i]) != want {
			t.Errorf("%d is %s", i, found[i])
		}
	}
}

func TestAnUnchangedArchiveIsPassedOverOnlyIfTheCacheIsOn(t *testing.T) {
	dir := t.TempDir()
	archive, cache := filepath.Join(dir, "a.tar"), filepath.Join(dir, cacheFile)
	if err := os.WriteFile(archive, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	took := func() bool { return !readImported(cache).has(archive) }
	imports := func() { known := readImported(cache); known.add(archive); known.write() }

	imports()
	if !took() {
		t.Error("there is no cache, and it was passed over")
	}
	if err := os.WriteFile(cache, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	imports()
	if took() {
		t.Error("it did not change, and was taken again")
	}
	if err := os.WriteFile(archive, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !took() {
		t.Error("it changed, and was passed over")
	}
}

func TestANodeIsOfUseOnceItIsReadyAndItsCloudHasSpoken(t *testing.T) {
	ready := []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	taints := []corev1.Taint{{Key: CloudTaint, Effect: corev1.TaintEffectNoSchedule}}
	for name, test := range map[string]struct {
		node corev1.Node
		want bool
	}{
		"new":     {corev1.Node{}, false},
		"tainted": {corev1.Node{Spec: corev1.NodeSpec{Taints: taints}, Status: corev1.NodeStatus{Conditions: ready}}, false},
		"ready":   {corev1.Node{Status: corev1.NodeStatus{Conditions: ready}}, true},
	} {
		if got := IsUseful(&test.node); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
