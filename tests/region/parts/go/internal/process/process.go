// Package process starts the programs that k3s is made of, and ends them with it.
package process

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const stopTimeout = 5 * time.Second

// Group is a set of programs of which none may end before the others.
type Group struct {
	failed   chan error
	spawns   chan func()
	children sync.WaitGroup
	stopping chan struct{}
	stopOnce sync.Once
}

// NewGroup makes an empty group.
func NewGroup() *Group {
	group := &Group{failed: make(chan error, 1), spawns: make(chan func()), stopping: make(chan struct{})}
	go group.spawnLoop()
	return group
}

// spawnLoop starts every child from one thread that lives as long as the process: the kernel
// sends a child its parent-death signal when the *thread* that forked it ends.
func (g *Group) spawnLoop() {
	runtime.LockOSThread()
	for spawn := range g.spawns {
		spawn()
	}
}

// Failed tells of the first program that ended by itself.
func (g *Group) Failed() <-chan error { return g.failed }

// Fail reports an error of a part that runs in this process.
func (g *Group) Fail(err error) {
	select {
	case g.failed <- err:
	default:
	}
}

// Start runs *argv* with *environment* added; its output goes to *output*.
func (g *Group) Start(name string, argv, environment []string, output io.Writer) error {
	command := exec.Command(argv[0], argv[1:]...)
	command.Args[0] = name
	command.Env = append(os.Environ(), environment...)
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	g.spawns <- func() { started <- command.Start() }
	if err := <-started; err != nil {
		return fmt.Errorf("%s did not start: %w", name, err)
	}
	g.children.Add(1)
	go g.watch(name, command)
	return nil
}

func (g *Group) watch(name string, command *exec.Cmd) {
	defer g.children.Done()
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err := <-ended:
		g.Fail(fmt.Errorf("%s ended by itself: %v", name, err))
		return
	case <-g.stopping:
	}
	_ = command.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		_ = command.Process.Kill()
		<-ended
	}
}

// Stop ends all programs, kindly at first, and waits for them.
func (g *Group) Stop() {
	g.stopOnce.Do(func() { close(g.stopping) })
	g.children.Wait()
}

// TakeNotifySocket hides systemd's socket from children: kubelet and containerd would use it too.
func TakeNotifySocket() string {
	path := os.Getenv("NOTIFY_SOCKET")
	_ = os.Unsetenv("NOTIFY_SOCKET")
	return path
}

// Notify tells systemd the state of the service, if systemd asked for it.
func Notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	connection, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Write([]byte(state))
	return err
}

// WaitFor calls *check* until it is content or *ctx* ends, every *interval* or less often.
func WaitFor(ctx context.Context, interval time.Duration, check func() bool) error {
	for began := time.Now(); !check(); began = time.Now() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(Rest(interval, time.Since(began))):
		}
	}
	return nil
}

// Rest is how long to wait before what took so long is asked again: on a machine that is
// overloaded, looking must not be what overloads it. Never longer than half a minute: what took
// longer than that has waited for something else than a processor.
func Rest(interval, took time.Duration) time.Duration {
	return max(interval, min(4*took, 30*time.Second))
}
