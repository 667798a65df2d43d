// Command csi is the storage driver of the tests: volumes that have a size and
// can grow. A volume is a file of the lab's, formatted with XFS and mounted by
// way of a loop device, and stays on the node it was made for, like a disk of
// that machine. The same program is the controller's part and each node's.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const (
	driverName = "csi.lab.dougdb.io"
	version    = "1"
	// The label of a node, and of the volumes that only it can reach.
	topologyKey = "csi.lab.dougdb.io/node"
)

func main() {
	socket := flag.String("socket", "", "the socket to serve the driver on")
	volumes := flag.String("volumes", "", "the folder with every volume's file")
	node := flag.String("node", "", "the node to serve; without, this is the controller")
	registry := flag.String("registry", "", "the folder in which that node's kubelet looks for plugins")
	flag.Parse()
	if err := run(*socket, *volumes, *node, *registry); err != nil {
		fmt.Fprintln(os.Stderr, "csi:", err)
		os.Exit(1)
	}
}

func run(socket, folder, node, registry string) error {
	if socket == "" || folder == "" || (node == "") != (registry == "") {
		return errors.New("needs --socket and --volumes, and for a node --node and --registry")
	}
	files := volumeFiles{folder}
	driver := grpc.NewServer()
	csi.RegisterIdentityServer(driver, identity{})
	if node == "" {
		csi.RegisterControllerServer(driver, &controller{files: files})
		return serve(driver, socket)
	}
	csi.RegisterNodeServer(driver, &nodeServer{name: node, files: files})
	failed := make(chan error, 2)
	go func() { failed <- serve(driver, socket) }()
	registrar := grpc.NewServer()
	registration.RegisterRegistrationServer(registrar, registrarOf{socket: socket})
	go func() { failed <- serve(registrar, registry+"/"+driverName+".sock") }()
	return <-failed
}

// Serves on a socket, in place of one that an earlier process left behind.
func serve(server *grpc.Server, socket string) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return server.Serve(listener)
}
