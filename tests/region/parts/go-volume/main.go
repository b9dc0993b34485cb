// A disk that forgets what was not flushed: `volume NAME FILE DIRECTORY`.
//
// FILE is what the disk holds. It is shown by FUSE as NAME, with a loop device on that; the mount is
// gone before anybody sees it (DIRECTORY is empty before and after). The device's path is the first
// line of output. Lines of input are answered by one line each, `ok` or `error: ...`:
//
//	held       the caller has the device open; it goes with whoever has it open last
//	lose       its machine is lost: what was not flushed is forgotten, the device answers EIO
//	grow       FILE has become larger; the caller sets the device's capacity then
//	copy PATH  what was flushed up to now, as a sparse file
//
// The end of input is the end of the disk, as `lose` is, and so is the end of this process.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	page = 4096
	// A disk's cache is finite, and so is this machine's memory: beyond that, pages are on the disk.
	mostPages = 64 << 20 / page
	fileNode  = 2
)

type disk struct {
	fuse.RawFileSystem
	name string

	lock  sync.Mutex
	file  *os.File
	size  int64
	dirty map[int64][]byte // by the page's number
	lost  bool
}

func (d *disk) stat() error {
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	d.lock.Lock()
	defer d.lock.Unlock()
	d.size = info.Size()
	return nil
}

// flush writes all pages down; the lock is held.
func (d *disk) flush() error {
	numbers := make([]int64, 0, len(d.dirty))
	for number := range d.dirty {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		if _, err := d.file.WriteAt(d.dirty[number], number*page); err != nil {
			return err
		}
		delete(d.dirty, number)
	}
	return nil
}

func (d *disk) lose() {
	d.lock.Lock()
	defer d.lock.Unlock()
	d.lost = true
	clear(d.dirty)
}

func (d *disk) copy(path string) error {
	d.lock.Lock()
	defer d.lock.Unlock()
	said, err := exec.Command("cp", "--sparse=always", "--reflink=auto", d.file.Name(), path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}

// load returns a page as it was last written; the lock is held.
func (d *disk) load(number int64) []byte {
	kept, there := d.dirty[number]
	if !there {
		kept = make([]byte, page)
		_, _ = d.file.ReadAt(kept, number*page) // short at the end of the file: zeros
	}
	return kept
}

func (d *disk) attributes(node uint64, out *fuse.Attr) {
	out.Ino, out.Nlink, out.Mode = node, 1, fuse.S_IFDIR|0o700
	if node == fileNode {
		d.lock.Lock()
		defer d.lock.Unlock()
		out.Mode, out.Size, out.Blocks = fuse.S_IFREG|0o600, uint64(d.size), uint64(d.size/512)
	}
}

func (d *disk) Lookup(_ <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if header.NodeId != fuse.FUSE_ROOT_ID || name != d.name {
		return fuse.ENOENT
	}
	out.NodeId = fileNode
	d.attributes(fileNode, &out.Attr)
	return fuse.OK
}

func (d *disk) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	d.attributes(in.NodeId, &out.Attr)
	return fuse.OK
}

func (d *disk) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_DIRECT_IO // else the host goes on reading from its own memory
	return fuse.OK
}

func (d *disk) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (d *disk) Read(_ <-chan struct{}, in *fuse.ReadIn, into []byte) (fuse.ReadResult, fuse.Status) {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.lost {
		return nil, fuse.EIO
	}
	offset := int64(in.Offset)
	into = into[:max(0, min(int64(len(into)), d.size-offset))]
	count, _ := d.file.ReadAt(into, offset)
	clear(into[count:])
	for at := offset; at < offset+int64(len(into)); at = (at/page + 1) * page {
		if kept, there := d.dirty[at/page]; there {
			copy(into[at-offset:], kept[at%page:])
		}
	}
	return fuse.ReadResultData(into), fuse.OK
}

func (d *disk) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.lost {
		return 0, fuse.EIO
	}
	for done := 0; done < len(data); {
		at := int64(in.Offset) + int64(done)
		kept := d.load(at / page)
		done += copy(kept[at%page:], data[done:])
		d.dirty[at/page] = kept
	}
	if len(d.dirty) > mostPages {
		return uint32(len(data)), fuse.ToStatus(d.flush())
	}
	return uint32(len(data)), fuse.OK
}

func (d *disk) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.lost {
		return fuse.EIO
	}
	return fuse.ToStatus(d.flush())
}

// device is a loop device on a file of our own mount. A process that ends closes its files before
// its connection to FUSE: had it such a file or the device open, it would wait for itself for ever.
type device struct {
	path       string
	loop, file int // file is a path only (O_PATH)
}

// show mounts the disk where only this thread sees it, and puts a loop device on it.
func show(d *disk, directory string) (*device, error) {
	runtime.LockOSThread() // never unlocked: the thread ends, and its mount namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("private mounts: %w", err)
	}
	server, err := fuse.NewServer(d, directory, &fuse.MountOptions{
		DirectMountStrict: true, FsName: d.name, Name: "volume", MaxWrite: 1 << 20,
	})
	if err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	go server.Serve()
	path := filepath.Join(directory, d.name)
	file, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	defer unix.Close(file)
	shown, err := attach(file)
	if err != nil {
		return nil, err
	}
	shown.file, err = unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	return shown, err
}

func attach(file int) (*device, error) {
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/loop-control: %w", err)
	}
	defer unix.Close(control)
	for {
		number, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("no free loop device: %w", err)
		}
		path := fmt.Sprintf("/dev/loop%d", number)
		if err := unix.Mknod(path, unix.S_IFBLK|0o660, int(unix.Mkdev(7, uint32(number)))); err != nil && err != unix.EEXIST {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		loop, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		config := unix.LoopConfig{Fd: uint32(file)}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR // gone with whoever has it open last
		switch err := unix.IoctlLoopConfigure(loop, &config); {
		case err == nil:
			return &device{path: path, loop: loop}, nil
		case !errors.Is(err, unix.EBUSY): // else somebody was faster
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		unix.Close(loop)
	}
}

func answer(d *disk, shown *device, line string) error {
	verb, argument, _ := strings.Cut(line, " ")
	switch verb {
	case "held":
		return unix.Close(shown.loop)
	case "lose":
		d.lose()
		return nil
	case "grow":
		var info unix.Stat_t // asked of the mount: older kernels look at what they have heard last
		return errors.Join(d.stat(), unix.Fstat(shown.file, &info))
	case "copy":
		return d.copy(argument)
	}
	return fmt.Errorf("unknown: %s", verb)
}

func run(name, path, directory string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	d := &disk{RawFileSystem: fuse.NewDefaultRawFileSystem(), name: name, file: file, dirty: map[int64][]byte{}}
	if err := d.stat(); err != nil {
		return err
	}
	var shown *device
	done := make(chan error)
	go func() {
		shown, err = show(d, directory)
		done <- err
	}()
	if err := <-done; err != nil {
		return err
	}
	fmt.Println(shown.path)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := answer(d, shown, lines.Text()); err != nil {
			fmt.Printf("error: %v\n", err)
		} else {
			fmt.Println("ok")
		}
	}
	return nil
}

// init keeps the first thread for main: it cannot end, and would keep show's mounts.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: volume NAME FILE DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
