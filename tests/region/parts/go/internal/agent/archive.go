package agent

import (
	"compress/gzip"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// unpackers are the forms in which k3s takes image archives, by suffix.
var unpackers = map[string]func(*os.File) (io.ReadCloser, error){
	".tar":     func(file *os.File) (io.ReadCloser, error) { return file, nil },
	".tar.gz":  func(file *os.File) (io.ReadCloser, error) { return gzip.NewReader(file) },
	".tgz":     func(file *os.File) (io.ReadCloser, error) { return gzip.NewReader(file) },
	".tar.zst": unzstd,
	".tzst":    unzstd,
}

func unzstd(file *os.File) (io.ReadCloser, error) {
	reader, err := zstd.NewReader(file)
	if err != nil {
		return nil, err
	}
	return reader.IOReadCloser(), nil
}

func suffix(path string) string {
	for known := range unpackers {
		if strings.HasSuffix(path, known) {
			return known
		}
	}
	return ""
}
