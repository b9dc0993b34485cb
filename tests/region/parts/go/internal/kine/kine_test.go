package kine

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serve opens the store of endpoint and ends it; it returns what kept it from being opened.
func serve(t *testing.T, endpoint string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return Serve(ctx, endpoint, "unix://"+filepath.Join(t.TempDir(), "kine.sock"), cancel)
}

func TestTheFileOfAnEndpointIsItsPathWithoutTheOptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")

	if err := serve(t, "sqlite://"+path+"?_journal_mode=WAL&_synchronous=FULL&cache=shared"); err != nil {
		t.Fatal(err)
	}

	if found, err := os.Stat(path); err != nil || found.Size() == 0 {
		t.Fatalf("%v, %v", found, err)
	}
}

// TestOnlyTheDefaultHasItsFolderMade: of an endpoint that is named the folder must be there, else kine
// tries for minutes to open the file.
func TestOnlyTheDefaultHasItsFolderMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db", "state.db")

	endpoint, err := Default(path)

	if err != nil || !strings.Contains(endpoint, "_synchronous=NORMAL") {
		t.Fatalf("%q, %v", endpoint, err)
	}
	if err := serve(t, endpoint); err != nil {
		t.Error(err)
	}
}
