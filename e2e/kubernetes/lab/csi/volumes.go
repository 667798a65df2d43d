package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// XFS makes nothing smaller.
	smallest = 300 << 20
	unit     = 1 << 20
)

// What an id may look like, since it becomes the name of a file.
var identifier = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// volumeFiles are the files behind the volumes, all in one folder. They are
// sparse: a volume takes the room of what was written to it.
type volumeFiles struct{ folder string }

func (v volumeFiles) path(id string) (string, error) {
	if !identifier.MatchString(id) {
		return "", status.Errorf(codes.InvalidArgument, "%q is no volume's id", id)
	}
	return filepath.Join(v.folder, id+".img"), nil
}

// The file and the size of a volume that exists.
func (v volumeFiles) find(id string) (string, int64, error) {
	path, err := v.path(id)
	if err != nil {
		return "", 0, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, status.Errorf(codes.NotFound, "there is no volume %s", id)
	}
	if err != nil {
		return "", 0, status.Errorf(codes.Internal, "volume %s: %v", id, err)
	}
	return path, info.Size(), nil
}

// Makes a volume; one of that size that exists already is fine.
func (v volumeFiles) create(id string, size int64) error {
	path, err := v.path(id)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return status.Errorf(codes.Internal, "volume %s: %v", id, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return status.Errorf(codes.Internal, "volume %s: %v", id, err)
	}
	switch info.Size() {
	case size:
		return nil
	case 0:
		if err := file.Truncate(size); err != nil {
			return status.Errorf(codes.Internal, "volume %s: %v", id, err)
		}
		return nil
	default:
		return status.Errorf(codes.AlreadyExists, "volume %s exists with another size, %d", id, info.Size())
	}
}

func (v volumeFiles) remove(id string) error {
	path, err := v.path(id)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return status.Errorf(codes.Internal, "volume %s: %v", id, err)
	}
	return nil
}

// Makes a volume's file larger, never smaller; its size then.
func (v volumeFiles) grow(id string, size int64) (int64, error) {
	path, now, err := v.find(id)
	if err != nil || now >= size {
		return now, err
	}
	if err := os.Truncate(path, size); err != nil {
		return 0, status.Errorf(codes.Internal, "volume %s: %v", id, err)
	}
	return size, nil
}
