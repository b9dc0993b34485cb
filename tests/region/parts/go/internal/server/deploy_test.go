package server

import (
	"path/filepath"
	"testing"
)

func TestWhatAFileHeldIsKnownAfterARestart(t *testing.T) {
	record := filepath.Join(t.TempDir(), "addons.json")
	first, err := parse([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\ndata: {x: y}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: c}\n"))
	if err != nil {
		t.Fatal(err)
	}
	before := &deployer{applied: map[string]state{"file": {objects: first}}, record: record}
	if err := before.writeRecord(); err != nil {
		t.Fatal(err)
	}
	after := &deployer{applied: map[string]state{}, record: record}

	err = after.remember()

	if err != nil {
		t.Fatal(err)
	}
	gone := missing(after.applied["file"].objects, first[:1])
	if len(gone) != 1 || gone[0].GetKind() != "Namespace" || gone[0].GetName() != "c" {
		t.Errorf("gone %v", gone)
	}
	if after.applied["file"].isDone {
		t.Error("everything is applied anew at each start")
	}
}
