package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"clusterous.test/parts/internal/agent"
	"clusterous.test/parts/internal/process"
	"clusterous.test/parts/internal/server"
	"clusterous.test/parts/internal/settings"
	"clusterous.test/parts/internal/token"
)

const k3sConfig = "/etc/rancher/k3s/config.yaml"

// runK3s is `k3s server` and `k3s agent`; it returns the exit code.
func runK3s(arguments []string) int {
	log.SetFlags(0)
	log.SetPrefix("k3s: ")
	if len(arguments) == 0 {
		log.Print("either server or agent is expected")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	socket := process.TakeNotifySocket()
	group := process.NewGroup()
	defer group.Stop()
	err := startK3s(ctx, group, settings.Role(arguments[0]), arguments[1:], func() {
		if err := process.Notify(socket, "READY=1"); err != nil {
			log.Printf("systemd was not told: %v", err)
		}
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		log.Printf("level=fatal msg=%q", err.Error())
		return 1
	}
	return 0
}

// startK3s runs until *ctx* ends or a part of it fails.
func startK3s(ctx context.Context, group *process.Group, role settings.Role, arguments []string, ready func()) error {
	if os.Geteuid() != 0 {
		return errors.New("k3s must be run as root")
	}
	found, err := settings.Load(role, settings.Sources{
		Args: arguments, Environment: os.Getenv, ConfigFile: k3sConfig,
	})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	switch role {
	case settings.Server:
		err = startServer(ctx, group, found, self, ended, ready)
	case settings.Agent:
		err = startAgent(ctx, group, found, self, ended, ready)
	default:
		err = fmt.Errorf("the k3s stand-in has server and agent, not %q", role)
	}
	if err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case err := <-group.Failed():
		return err
	case <-ctx.Done():
		return nil
	}
}

func startServer(ctx context.Context, group *process.Group, found *settings.Settings, self string, ended chan<- error, ready func()) error {
	control, err := server.New(found, group, self, filepath.Dir(self))
	if err != nil {
		return err
	}
	go func() { ended <- control.Run(ctx, ready) }()
	if found.Flag("disable-agent") {
		return nil
	}
	node, err := agent.New(found, group, self, filepath.Dir(self))
	if err != nil {
		return err
	}
	go func() { ended <- node.Run(ctx, control.AgentURL(), control.Token(), func() {}) }()
	return nil
}

func startAgent(ctx context.Context, group *process.Group, found *settings.Settings, self string, ended chan<- error, ready func()) error {
	text, err := found.Secret("token")
	if err != nil {
		return err
	}
	if text == "" {
		return errors.New("--token is required")
	}
	joinToken, err := token.Parse(text)
	if err != nil {
		return err
	}
	node, err := agent.New(found, group, self, filepath.Dir(self))
	if err != nil {
		return err
	}
	go func() { ended <- node.Run(ctx, found.Text("server", ""), joinToken, ready) }()
	return nil
}
