// A module of its own: it has nothing in common with Kubernetes, and is compiled in seconds.
module clusterous.test/volume

go 1.26.0

require (
	github.com/hanwen/go-fuse/v2 v2.12.1
	golang.org/x/sys v0.47.0
)
