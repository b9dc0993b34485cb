// Package kine serves the etcd API from an SQLite file, as k3s does by default.
//
// Only the parts of github.com/k3s-io/kine that SQLite needs are imported: its endpoint package
// would bring NATS, PostgreSQL, MySQL and an S3 store into the build. What an endpoint means is
// kine's own to say: its registry of drivers parses it.
package kine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	notifyInterval = 5 * time.Second
	stopTimeout    = 2 * time.Second
	etcdVersion    = "3.6.13"
)

// Default is the endpoint of the file at path, with what kine takes where nobody names one. Its
// folder is made then, and only then.
func Default(path string) (string, error) {
	return "sqlite://" + path + "?" + sqlite.DefaultParams, os.MkdirAll(filepath.Dir(path), 0o700)
}

// Serve answers on listen ("host:port" or "unix:///path") until ctx ends. The file of the endpoint
// is created if it is missing; ready is called as soon as clients can connect.
func Serve(ctx context.Context, endpoint, listen string, ready func()) error {
	backendCtx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, backend, err := drivers.New(backendCtx, &sync.WaitGroup{}, driverConfig(endpoint))
	if err != nil {
		return fmt.Errorf("open %s: %w", endpoint, err)
	}
	if err := backend.Start(backendCtx); err != nil {
		return fmt.Errorf("start the store: %w", err)
	}
	listener, err := listenOn(listen)
	if err != nil {
		return err
	}
	grpcServer := newGRPCServer()
	server.New(backend, "http", notifyInterval, etcdVersion).Register(grpcServer)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		timer := time.AfterFunc(stopTimeout, grpcServer.Stop)
		defer timer.Stop()
		grpcServer.GracefulStop()
	}()
	ready()
	if err := grpcServer.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	if ctx.Err() != nil {
		<-stopped
	}
	return nil
}

func driverConfig(endpoint string) *drivers.Config {
	return &drivers.Config{
		Endpoint:              endpoint,
		CompactInterval:       5 * time.Minute,
		CompactIntervalJitter: 5,
		CompactTimeout:        5 * time.Second,
		CompactMinRetain:      1000,
		CompactBatchSize:      1000,
		PollBatchSize:         500,
	}
}

func listenOn(address string) (net.Listener, error) {
	if path, isSocket := strings.CutPrefix(address, "unix://"); isSocket {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		return net.Listen("unix", path)
	}
	return net.Listen("tcp", address)
}

// newGRPCServer has etcd's limits: the API server's requests are sized for them.
func newGRPCServer() *grpc.Server {
	return grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Hour, Timeout: 20 * time.Second}),
		grpc.MaxConcurrentStreams(math.MaxUint32),
		grpc.MaxRecvMsgSize(2*1024*1024),
		grpc.MaxSendMsgSize(math.MaxInt32),
	)
}
