package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"clusterous.test/parts/internal/process"
)

//go:embed packaged
var packaged embed.FS

const (
	fieldManager = "deploy@k3s"
	lookEvery    = 15 * time.Second
)

// deployer applies the manifests of server/manifests and follows their changes.
type deployer struct {
	options options
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	applied map[string]state
	record  string // what each file held, for the next start: k3s has an Addon object for that
}

// state is what was done about a file.
type state struct {
	digest  [sha256.Size]byte
	objects []*unstructured.Unstructured
	isDone  bool
	problem string
}

func newDeployer(s *Server) (*deployer, error) {
	client, err := dynamic.NewForConfig(s.config)
	if err != nil {
		return nil, err
	}
	finder, err := discovery.NewDiscoveryClientForConfig(s.config)
	if err != nil {
		return nil, err
	}
	return &deployer{
		options: s.options, dynamic: client, applied: map[string]state{},
		record: filepath.Join(s.options.dir, "db", "addons.json"),
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(finder)),
	}, nil
}

// bootstrap applies what everything else stands on, and writes the packaged manifests out.
func (d *deployer) bootstrap(ctx context.Context) error {
	objects, err := d.packagedObjects("packaged/bootstrap.yaml")
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := d.applyUntilDone(ctx, object); err != nil {
			return err
		}
	}
	return d.writePackaged(ctx)
}

func (d *deployer) applyUntilDone(ctx context.Context, object *unstructured.Unstructured) error {
	var why error
	err := process.WaitFor(ctx, 200*time.Millisecond, func() bool {
		why = d.apply(ctx, object)
		return why == nil
	})
	if err != nil {
		return errors.Join(err, why)
	}
	return nil
}

func (d *deployer) render(path string) ([]byte, error) {
	text, err := fs.ReadFile(packaged, path)
	if err != nil {
		return nil, err
	}
	parsed, err := template.New(path).Parse(string(text))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, map[string]string{
		"DNS": d.options.clusterDNS, "Domain": d.options.clusterDomain,
		"Address": d.options.address.String(),
	})
	return out.Bytes(), err
}

func (d *deployer) packagedObjects(path string) ([]*unstructured.Unstructured, error) {
	text, err := d.render(path)
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// writePackaged puts k3s's own manifests among the user's, where they can be seen; what is
// disabled is removed, file and objects.
func (d *deployer) writePackaged(ctx context.Context) error {
	for name, folder := range map[string]string{"coredns": "", "local-storage": "", "metrics-server": "metrics-server"} {
		text, err := d.render("packaged/" + name + ".yaml")
		if err != nil {
			return err
		}
		path := filepath.Join(d.options.dir, "manifests", folder, name+".yaml")
		if !d.options.disabled[name] {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				return err
			}
			continue
		}
		if !fileExists(path) {
			continue
		}
		objects, err := parse(text)
		if err != nil {
			return err
		}
		d.remove(ctx, objects)
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// run looks at the folder again and again until *ctx* ends.
func (d *deployer) run(ctx context.Context) error {
	if err := d.remember(); err != nil {
		log.Printf("What was applied before the last start is not known: %v", err)
	}
	for {
		d.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookEvery):
		}
	}
}

func (d *deployer) look(ctx context.Context) {
	root := filepath.Join(d.options.dir, "manifests")
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !isManifest(path) || d.isDisabled(path) {
			return nil
		}
		d.follow(ctx, path)
		return nil
	})
}

func isManifest(path string) bool {
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		return !fileExists(path + ".skip")
	default:
		return false
	}
}

func (d *deployer) isDisabled(path string) bool {
	name := filepath.Base(path)
	return d.options.disabled[strings.TrimSuffix(name, filepath.Ext(name))]
}

func (d *deployer) follow(ctx context.Context, path string) {
	content, err := os.ReadFile(path)
	if err != nil {
		return // removed meanwhile: what it held stays, as with k3s
	}
	before := d.applied[path]
	digest := sha256.Sum256(content)
	if before.isDone && before.digest == digest {
		return
	}
	now := state{digest: digest, objects: before.objects, problem: before.problem}
	objects, err := parse(content)
	if err == nil {
		err = d.applyAll(ctx, objects)
		d.remove(ctx, missing(before.objects, objects))
		now.objects = objects
	}
	now.isDone = err == nil
	if err != nil && err.Error() != before.problem {
		log.Printf("Manifest %s is not applied yet: %v", path, err)
		now.problem = err.Error()
	}
	if now.isDone {
		log.Printf("Manifest %s is applied", path)
	}
	d.applied[path] = now
	if err := d.writeRecord(); err != nil {
		log.Printf("What was applied is not written down: %v", err)
	}
}

// remember takes up what an earlier run of k3s has applied, so that what a file no longer holds
// is deleted even if the file was changed in between.
func (d *deployer) remember() error {
	content, err := os.ReadFile(d.record)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var held map[string][]*unstructured.Unstructured
	if err := json.Unmarshal(content, &held); err != nil {
		return err
	}
	for path, objects := range held {
		d.applied[path] = state{objects: objects}
	}
	return nil
}

func (d *deployer) writeRecord() error {
	held := map[string][]*unstructured.Unstructured{}
	for path, done := range d.applied {
		for _, object := range done.objects {
			named := &unstructured.Unstructured{}
			named.SetGroupVersionKind(object.GroupVersionKind())
			named.SetNamespace(object.GetNamespace())
			named.SetName(object.GetName())
			held[path] = append(held[path], named)
		}
	}
	content, err := json.Marshal(held)
	if err != nil {
		return err
	}
	return os.WriteFile(d.record, content, 0o600)
}

func parse(content []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		var raw map[string]any
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if len(raw) == 0 {
			continue
		}
		object := &unstructured.Unstructured{Object: raw}
		if object.GetKind() == "" || object.GetAPIVersion() == "" || object.GetName() == "" {
			if !object.IsList() {
				return nil, errors.New("a document without apiVersion, kind or name")
			}
			list, err := object.ToList()
			if err != nil {
				return nil, err
			}
			for i := range list.Items {
				objects = append(objects, &list.Items[i])
			}
			continue
		}
		objects = append(objects, object)
	}
}

func (d *deployer) applyAll(ctx context.Context, objects []*unstructured.Unstructured) error {
	var problems []error
	for _, object := range objects {
		if err := d.apply(ctx, object); err != nil {
			problems = append(problems, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err))
		}
	}
	return errors.Join(problems...)
}

func (d *deployer) apply(ctx context.Context, object *unstructured.Unstructured) error {
	target, err := d.target(object)
	if err != nil {
		return err
	}
	content, err := json.Marshal(object)
	if err != nil {
		return err
	}
	force := true
	_, err = target.Patch(ctx, object.GetName(), types.ApplyPatchType, content,
		metav1.PatchOptions{FieldManager: fieldManager, Force: &force})
	return err
}

func (d *deployer) target(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := object.GroupVersionKind()
	mapping, err := d.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		d.mapper.Reset() // its definition may have come since
		mapping, err = d.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	}
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return d.dynamic.Resource(mapping.Resource), nil
	}
	namespace := object.GetNamespace()
	if namespace == "" {
		namespace = "default"
	}
	return d.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

func (d *deployer) remove(ctx context.Context, objects []*unstructured.Unstructured) {
	for _, object := range objects {
		if target, err := d.target(object); err == nil {
			_ = target.Delete(ctx, object.GetName(), metav1.DeleteOptions{})
		}
	}
}

// missing is what a file held before and holds no more.
func missing(before, now []*unstructured.Unstructured) []*unstructured.Unstructured {
	kept := map[string]bool{}
	for _, object := range now {
		kept[identity(object)] = true
	}
	var gone []*unstructured.Unstructured
	for _, object := range before {
		if !kept[identity(object)] {
			gone = append(gone, object)
		}
	}
	return gone
}

func identity(object *unstructured.Unstructured) string {
	kind := object.GroupVersionKind()
	return strings.Join([]string{kind.Group, kind.Kind, object.GetNamespace(), object.GetName()}, "/")
}
