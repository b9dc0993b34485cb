package agent

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"clusterous.test/parts/internal/process"
)

const (
	imageList  = ".txt"        // names of images to pull, one a line
	cacheFile  = ".cache.json" // where it exists, an archive that did not change is passed over
	lookAtList = 50 * time.Millisecond
)

// importQueue takes archives one after the other, as k3s does, and with the same trap: who waits
// for it to be empty does not wait for the archive that was taken out of it last.
type importQueue struct {
	archives chan string
	left     atomic.Int64
}

func newImportQueue(archives []string) *importQueue {
	queue := &importQueue{archives: make(chan string, len(archives))}
	queue.left.Store(int64(len(archives)))
	for _, archive := range archives {
		queue.archives <- archive
	}
	close(queue.archives)
	return queue
}

func (q *importQueue) run(take func(string)) {
	for archive := range q.archives {
		q.left.Add(-1)
		take(archive)
	}
}

func (q *importQueue) wait(ctx context.Context) error {
	return process.WaitFor(ctx, lookAtList, func() bool { return q.left.Load() <= 0 })
}

// importImages starts to bring in the archives of agent/images, in the order of their names, and
// returns when no more of them waits; the last one may still be on its way. A broken one is
// reported, not fatal: the pods that need it will say so.
func (a *Agent) importImages(ctx context.Context) error {
	archives, err := archivesIn(filepath.Join(a.dir, "images"))
	if err != nil {
		return err
	}
	known := readImported(filepath.Join(a.dir, "images", cacheFile))
	queue := newImportQueue(archives)
	go func() {
		queue.run(func(archive string) { a.takeArchive(archive, known) })
		known.write()
	}()
	return queue.wait(ctx)
}

func archivesIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder) // sorted by name
	if err != nil {
		return nil, err
	}
	var archives []string
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if !entry.IsDir() && (suffix(path) != "" || strings.HasSuffix(path, imageList)) {
			archives = append(archives, path)
		}
	}
	return archives, nil
}

func (a *Agent) takeArchive(archive string, known *imported) {
	if known.has(archive) {
		log.Printf("Skipping import of unchanged images from %s", archive)
		return
	}
	start := time.Now()
	if err := a.bringIn(archive); err != nil {
		log.Printf("Error encountered while importing %s: %v", archive, err)
		return
	}
	known.add(archive)
	log.Printf("Imported images from %s in %s", archive, time.Since(start).Round(time.Millisecond))
}

func (a *Agent) bringIn(path string) error {
	if strings.HasSuffix(path, imageList) {
		return a.pullAll(path)
	}
	return a.importArchive(path)
}

func (a *Agent) pullAll(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(content)) {
		if err := a.ctr("images", "pull", name).Run(); err != nil {
			log.Printf("Failed to pull %s: %v", name, err)
		}
	}
	return nil
}

// imported is which archives are in already: by size and time of change, as k3s tells them apart.
type imported struct {
	path  string
	isOn  bool
	stamp map[string]stamp
}

type stamp struct {
	Size  int64     `json:"size"`
	Mtime time.Time `json:"mtime"`
}

func readImported(path string) *imported {
	known := &imported{path: path, stamp: map[string]stamp{}}
	content, err := os.ReadFile(path)
	if err != nil {
		return known
	}
	known.isOn = true
	if len(content) > 0 {
		if err := json.Unmarshal(content, &known.stamp); err != nil {
			log.Printf("%s is not read: %v", path, err)
			known.stamp = map[string]stamp{}
		}
	}
	return known
}

func (i *imported) has(path string) bool {
	if !i.isOn {
		return false
	}
	found, isKnown := i.stamp[path]
	now, err := stampOf(path)
	return isKnown && err == nil && found.Size == now.Size && found.Mtime.Equal(now.Mtime)
}

func (i *imported) add(path string) {
	if now, err := stampOf(path); err == nil {
		i.stamp[path] = now
	}
}

func (i *imported) write() {
	if !i.isOn {
		return
	}
	content, err := json.Marshal(i.stamp)
	if err == nil {
		err = os.WriteFile(i.path, content, 0o644)
	}
	if err != nil {
		log.Printf("%s is not written: %v", i.path, err)
	}
}

func stampOf(path string) (stamp, error) {
	found, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{Size: found.Size(), Mtime: found.ModTime()}, nil
}
