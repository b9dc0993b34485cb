package main

import (
	"archive/tar"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// The file ends with: archive (tar.zst), its SHA-256, its length (8 bytes, big endian), magic.
const (
	magic       = "k3sregion"
	digestBytes = 32
	tailBytes   = digestBytes + 8 + len(magic)
)

type archive struct {
	hash    string
	content io.Reader
}

func findArchive(file *os.File) (archive, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return archive{}, err
	}
	tail := make([]byte, tailBytes)
	if _, err := file.ReadAt(tail, size-int64(tailBytes)); err != nil {
		return archive{}, err
	}
	if string(tail[digestBytes+8:]) != magic {
		return archive{}, errors.New("this file has no programs behind it: it is the bare launcher, or was cut off")
	}
	length := int64(binary.BigEndian.Uint64(tail[digestBytes:]))
	start := size - int64(tailBytes) - length
	if start <= 0 {
		return archive{}, errors.New("this file is damaged: download it again")
	}
	return archive{
		hash: hex.EncodeToString(tail[:digestBytes]), content: io.NewSectionReader(file, start, length),
	}, nil
}

func (a archive) unpack(dir string) error {
	decoder, err := zstd.NewReader(a.content)
	if err != nil {
		return err
	}
	defer decoder.Close()
	for reader := tar.NewReader(decoder); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := write(dir, header, reader); err != nil {
			return err
		}
	}
}

func write(dir string, header *tar.Header, content io.Reader) error {
	if !filepath.IsLocal(header.Name) {
		return errors.New("this file is damaged: it would unpack " + header.Name)
	}
	path := filepath.Join(dir, header.Name)
	switch header.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(path, 0o755)
	case tar.TypeReg:
	default:
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, os.FileMode(header.Mode)&0o777)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, content); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}
