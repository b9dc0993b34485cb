// nfs4 is an NFSv4.1 client in user space: it mounts SERVER:/PATH on DIRECTORY where the kernel
// has no NFS, over FUSE. It is for the machines of the simulated region.
//
//	nfs4 SERVER:/PATH ADDRESS:PORT DIRECTORY OPTION,...
//
// It returns when the mount is there; who serves it lives on until it is unmounted.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/syslog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A name with @ is spared when systemd ends all processes at a shutdown: mounts go after them.
const serving = "@nfs4"

var journal *syslog.Writer

// complain says what the kernel would, at the same place.
func complain(format string, arguments ...any) {
	if journal != nil {
		journal.Warning(fmt.Sprintf(format, arguments...))
	}
}

// What ends with its parent is a thread, and so is what is asked not to.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: nfs4 SERVER:/PATH ADDRESS:PORT DIRECTORY OPTIONS")
		os.Exit(2)
	}
	if os.Args[0] != serving {
		os.Exit(launch())
	}
	journal, _ = syslog.New(syslog.LOG_DAEMON|syslog.LOG_WARNING, "nfs")
	if err := serve(os.Args[1], os.Args[2], os.Args[3], parse(os.Args[4]), os.NewFile(3, "told")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(32)
	}
}

// launch starts who serves and waits for its word that the mount is there.
func launch() int {
	ready, told, err := os.Pipe()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 32
	}
	child := exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{serving}, os.Args[1:]...), Stderr: os.Stderr, Dir: "/",
		ExtraFiles: []*os.File{told}, SysProcAttr: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}
	if err := child.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 32
	}
	told.Close()
	word := make([]byte, 1)
	if count, _ := ready.Read(word); count == 1 {
		return 0
	}
	child.Wait()
	return 32
}

// options are those of the mount that matter here.
type options map[string]string

func parse(words string) options {
	found := options{}
	for _, word := range strings.Split(words, ",") {
		name, value, _ := strings.Cut(word, "=")
		found[name] = value
	}
	return found
}

func (o options) has(name string) bool { _, found := o[name]; return found }

func (o options) number(name string, usual int) int {
	if number, err := strconv.Atoi(o[name]); err == nil {
		return number
	}
	return usual
}

// timeo is how long an answer may take before the connection is given up.
func (o options) timeo() time.Duration {
	return time.Duration(o.number("timeo", 600)) * 100 * time.Millisecond
}

func (o options) flags() uintptr {
	var flags uintptr = syscall.MS_MGC_VAL
	for name, flag := range map[string]uintptr{
		"ro": syscall.MS_RDONLY, "nosuid": syscall.MS_NOSUID, "nodev": syscall.MS_NODEV, "noexec": syscall.MS_NOEXEC,
	} {
		if o.has(name) {
			flags |= flag
		}
	}
	return flags
}

func serve(source, address, directory string, wanted options, told *os.File) error {
	leaveUnit()
	_, path, _ := strings.Cut(source, ":")
	ctx, end := context.WithCancel(context.Background())
	defer end()
	name, _ := os.Hostname()
	owner := fmt.Sprintf("clusterous %s %s %d %d", name, directory, os.Getpid(), time.Now().UnixNano())
	server := newClient(ctx, address, !wanted.has("noresvport"), wanted.timeo(), owner)

	patience := time.Duration(max(wanted.number("retry", 2)*60, 10)) * time.Second
	root, err := find(ctx, server, path, patience)
	if err != nil {
		return errors.New(refusal(err, source))
	}
	var soft time.Duration
	if wanted.has("soft") || wanted.has("softerr") {
		soft = wanted.timeo() * time.Duration(wanted.number("retrans", 2)+1)
	}
	mount, err := fuse.NewServer(newFiles(server, root, soft), directory, &fuse.MountOptions{
		AllowOther: true, DirectMountStrict: true, DirectMountFlags: wanted.flags(),
		FsName: source, Name: "nfs4", MaxWrite: maxData, MaxBackground: maxSlots,
		EnableLocks: true, DisableXAttrs: true, DisableReadDirPlus: true,
	})
	if err != nil {
		return fmt.Errorf("mount.nfs: %w", err)
	}
	go server.keep()
	go mount.Serve()
	if err := mount.WaitMount(); err != nil {
		return fmt.Errorf("mount.nfs: %w", err)
	}
	detach(told)
	mount.Wait()
	server.leave()
	return nil
}

// find looks for what is to be mounted, in a server that may open its door and then say nothing.
func find(ctx context.Context, server *client, path string, patience time.Duration) ([]byte, error) {
	type outcome struct {
		root []byte
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		root, err := server.find(ctx, path)
		done <- outcome{root, err}
	}()
	select {
	case found := <-done:
		return found.root, found.err
	case <-time.After(patience):
		return nil, context.DeadlineExceeded
	}
}

// detach says that the mount is there, and lets go of whoever asked for it.
func detach(told *os.File) {
	unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0)
	told.Write([]byte{1})
	told.Close()
	if silent, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
		unix.Dup2(int(silent.Fd()), 2)
	}
}

// refusal says it as mount.nfs does.
func refusal(err error, source string) string {
	switch code := errno(err); {
	case errors.Is(err, context.DeadlineExceeded):
		return "mount.nfs: Connection timed out"
	case code == syscall.EACCES || code == syscall.EPERM:
		return "mount.nfs: access denied by server while mounting " + source
	case code == syscall.ENOENT || code == syscall.ENOTDIR:
		return fmt.Sprintf("mount.nfs: mounting %s failed, reason given by server: %s", source, title(code))
	default:
		return "mount.nfs: " + title(code)
	}
}

func title(code syscall.Errno) string {
	words := code.Error()
	return strings.ToUpper(words[:1]) + words[1:]
}

// leaveUnit goes out of the control group of whoever called mount, which may end long before: a mount
// of the kernel is nobody's process.
func leaveUnit() {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"} {
		folder := filepath.Join(root, "nfs4")
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil || os.MkdirAll(folder, 0o755) != nil {
			continue
		}
		os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	}
}
