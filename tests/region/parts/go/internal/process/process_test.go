package process

import (
	"context"
	"testing"
	"time"
)

func TestWhatIsAskedSlowlyIsAskedSeldom(t *testing.T) {
	if rest := Rest(100*time.Millisecond, time.Millisecond); rest != 100*time.Millisecond {
		t.Errorf("after a quick answer it rests %s", rest)
	}
	if rest := Rest(100*time.Millisecond, 3*time.Second); rest != 12*time.Second {
		t.Errorf("after a slow answer it rests %s", rest)
	}
	if rest := Rest(100*time.Millisecond, time.Hour); rest != 30*time.Second {
		t.Errorf("after an hour it rests %s", rest)
	}
}

func TestItIsAskedUntilItIsContent(t *testing.T) {
	asked := 0
	err := WaitFor(context.Background(), time.Millisecond, func() bool { asked++; return asked == 3 })
	if err != nil || asked != 3 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if WaitFor(ended, time.Hour, func() bool { return false }) == nil {
		t.Error("it waits on after the end")
	}
}
