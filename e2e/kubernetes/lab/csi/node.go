package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// nodeServer mounts volumes on one node. A volume is formatted and mounted once
// where the kubelet stages it, and bound from there into each pod.
type nodeServer struct {
	csi.UnimplementedNodeServer
	name  string
	files volumeFiles
	// Two requests for one volume would both find it unmounted.
	one sync.Mutex
}

func (n *nodeServer) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{
		NodeId:             n.name,
		AccessibleTopology: &csi.Topology{Segments: map[string]string{topologyKey: n.name}},
	}, nil
}

func (n *nodeServer) NodeGetCapabilities(
	context.Context, *csi.NodeGetCapabilitiesRequest,
) (*csi.NodeGetCapabilitiesResponse, error) {
	can := func(kind csi.NodeServiceCapability_RPC_Type) *csi.NodeServiceCapability {
		return &csi.NodeServiceCapability{Type: &csi.NodeServiceCapability_Rpc{
			Rpc: &csi.NodeServiceCapability_RPC{Type: kind},
		}}
	}
	return &csi.NodeGetCapabilitiesResponse{Capabilities: []*csi.NodeServiceCapability{
		can(csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME),
		can(csi.NodeServiceCapability_RPC_EXPAND_VOLUME),
		can(csi.NodeServiceCapability_RPC_GET_VOLUME_STATS),
	}}, nil
}

func (n *nodeServer) NodeStageVolume(
	_ context.Context, request *csi.NodeStageVolumeRequest,
) (*csi.NodeStageVolumeResponse, error) {
	n.one.Lock()
	defer n.one.Unlock()
	file, _, err := n.files.find(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	if err := mountFile(file, request.GetStagingTargetPath()); err != nil {
		return nil, err
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

func (n *nodeServer) NodeUnstageVolume(
	_ context.Context, request *csi.NodeUnstageVolumeRequest,
) (*csi.NodeUnstageVolumeResponse, error) {
	n.one.Lock()
	defer n.one.Unlock()
	// The loop device goes with its last mount: it was attached by mount itself.
	if err := unmount(request.GetStagingTargetPath()); err != nil {
		return nil, err
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}

func (n *nodeServer) NodePublishVolume(
	_ context.Context, request *csi.NodePublishVolumeRequest,
) (*csi.NodePublishVolumeResponse, error) {
	n.one.Lock()
	defer n.one.Unlock()
	target := request.GetTargetPath()
	if err := os.MkdirAll(target, 0o750); err != nil {
		return nil, status.Errorf(codes.Internal, "%s: %v", target, err)
	}
	if isMounted(target) {
		return &csi.NodePublishVolumeResponse{}, nil
	}
	options := "bind"
	if request.GetReadonly() {
		options = "bind,ro"
	}
	if err := command("mount", "-o", options, request.GetStagingTargetPath(), target); err != nil {
		return nil, err
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (n *nodeServer) NodeUnpublishVolume(
	_ context.Context, request *csi.NodeUnpublishVolumeRequest,
) (*csi.NodeUnpublishVolumeResponse, error) {
	n.one.Lock()
	defer n.one.Unlock()
	if err := unmount(request.GetTargetPath()); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(request.GetTargetPath()); err != nil {
		return nil, status.Errorf(codes.Internal, "%s: %v", request.GetTargetPath(), err)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// The file has grown already; the loop device and the file system follow while
// they are in use.
func (n *nodeServer) NodeExpandVolume(
	_ context.Context, request *csi.NodeExpandVolumeRequest,
) (*csi.NodeExpandVolumeResponse, error) {
	n.one.Lock()
	defer n.one.Unlock()
	_, size, err := n.files.find(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	path := request.GetVolumePath()
	if !isMounted(path) {
		return nil, status.Errorf(codes.FailedPrecondition, "%s is not mounted", path)
	}
	device, err := output("findmnt", "--noheadings", "--first-only", "--output", "SOURCE", "--mountpoint", path)
	if err != nil {
		return nil, err
	}
	// A bind mount is shown as DEVICE[/FOLDER].
	device, _, _ = strings.Cut(device, "[")
	if err := command("losetup", "--set-capacity", device); err != nil {
		return nil, err
	}
	if err := command("xfs_growfs", "-d", path); err != nil {
		return nil, err
	}
	return &csi.NodeExpandVolumeResponse{CapacityBytes: size}, nil
}

func (n *nodeServer) NodeGetVolumeStats(
	_ context.Context, request *csi.NodeGetVolumeStatsRequest,
) (*csi.NodeGetVolumeStatsResponse, error) {
	if !isMounted(request.GetVolumePath()) {
		return nil, status.Errorf(codes.NotFound, "%s is not mounted", request.GetVolumePath())
	}
	var found unix.Statfs_t
	if err := unix.Statfs(request.GetVolumePath(), &found); err != nil {
		return nil, status.Errorf(codes.Internal, "%s: %v", request.GetVolumePath(), err)
	}
	block := uint64(found.Bsize)
	usage := func(unit csi.VolumeUsage_Unit, total, free, available uint64) *csi.VolumeUsage {
		return &csi.VolumeUsage{
			Unit: unit, Total: int64(total), Used: int64(total - free), Available: int64(available),
		}
	}
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		usage(csi.VolumeUsage_BYTES, found.Blocks*block, found.Bfree*block, found.Bavail*block),
		usage(csi.VolumeUsage_INODES, found.Files, found.Ffree, found.Ffree),
	}}, nil
}

// Mounts a volume's file, formatted if it is new.
func mountFile(file, target string) error {
	if isMounted(target) {
		return nil
	}
	if err := os.MkdirAll(target, 0o750); err != nil {
		return status.Errorf(codes.Internal, "%s: %v", target, err)
	}
	formatted, err := isFormatted(file)
	if err != nil {
		return err
	}
	if !formatted {
		if err := command("mkfs.xfs", "-q", "-K", file); err != nil {
			return err
		}
	}
	return command("mount", "-t", "xfs", "-o", "loop,noatime", file, target)
}

// XFS begins with its name. What a killed mkfs left does not mount.
func isFormatted(file string) (bool, error) {
	volume, err := os.Open(file)
	if err != nil {
		return false, status.Errorf(codes.Internal, "%s: %v", file, err)
	}
	defer volume.Close()
	begin := make([]byte, 4)
	if _, err := volume.ReadAt(begin, 0); err != nil {
		return false, status.Errorf(codes.Internal, "%s: %v", file, err)
	}
	return string(begin) == "XFSB", nil
}

func isMounted(path string) bool {
	return exec.Command("mountpoint", "--quiet", path).Run() == nil
}

func unmount(path string) error {
	if !isMounted(path) {
		return nil
	}
	return command("umount", path)
}

func command(name string, arguments ...string) error {
	_, err := output(name, arguments...)
	return err
}

func output(name string, arguments ...string) (string, error) {
	said, err := exec.Command(name, arguments...).CombinedOutput()
	if err != nil {
		return "", status.Errorf(codes.Internal, "%s %s: %v: %s", name, strings.Join(arguments, " "), err, said)
	}
	return strings.TrimSpace(string(said)), nil
}
