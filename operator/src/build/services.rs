//! Names that resolve.

use super::labels::{annotations, cluster, cluster_metadata, component, metadata};
use super::word;
use crate::validate::Database;
use doug_crds::ClusterSpec;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Gives each node of a cluster a name. It is published before the node is
/// ready, because nodes must find each other to become ready.
pub fn headless(database: &Database, of: &ClusterSpec) -> Service {
    let ports = vec![
        grpc("doug", 7400),
        grpc("raft", 7401),
        grpc("admin", 7402),
        port("http", 7403, IntOrString::Int(7403)),
    ];
    Service {
        metadata: cluster_metadata(database, &database.set_name(&of.name), &of.name),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(cluster(database, &of.name)),
            ports: Some(ports),
            ..families(database)
        }),
        status: None,
    }
}

/// Has the addresses of all nodes, whatever their clusters: a facade that starts while the API
/// server is away asks one of them for the map. Any that has it will do, ready or not. Its component
/// is one of its own: Prometheus finds nodes by the Services of their clusters, and must not find
/// them twice.
pub fn nodes(database: &Database) -> Service {
    Service {
        metadata: metadata(database, &database.nodes_name(), "nodes"),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(component(&database.name, "node")),
            ports: Some(vec![grpc("doug", 7400)]),
            ..families(database)
        }),
        status: None,
    }
}

/// Where clients connect.
pub fn facade(database: &Database) -> Service {
    let service = &database.spec.facade.service;
    let doug = ServicePort {
        app_protocol: Some("grpc".to_owned()),
        ..port("doug", i32::from(service.port), IntOrString::String("doug".to_owned()))
    };
    let ranges = &service.load_balancer_source_ranges;
    Service {
        metadata: ObjectMeta {
            annotations: annotations(&service.annotations),
            ..metadata(database, &database.facade_name(), "facade")
        },
        spec: Some(ServiceSpec {
            type_: word(service.kind),
            selector: Some(component(&database.name, "facade")),
            ports: Some(vec![doug]),
            load_balancer_class: service.load_balancer_class.clone(),
            load_balancer_source_ranges: Some(ranges.clone()).filter(|ranges| !ranges.is_empty()),
            external_traffic_policy: service.external_traffic_policy.and_then(word),
            ..families(database)
        }),
        status: None,
    }
}

fn grpc(name: &str, number: i32) -> ServicePort {
    ServicePort {
        app_protocol: Some("grpc".to_owned()),
        ..port(name, number, IntOrString::Int(number))
    }
}

fn port(name: &str, number: i32, target: IntOrString) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        protocol: Some("TCP".to_owned()),
        target_port: Some(target),
        ..Default::default()
    }
}

/// What is not declared is left to the Kubernetes cluster, which knows what addresses it has.
fn families(database: &Database) -> ServiceSpec {
    let Some(network) = &database.spec.network else { return ServiceSpec::default() };
    let families: Vec<String> = network.ip_families.iter().filter_map(word).collect();
    ServiceSpec {
        ip_family_policy: network.ip_family_policy.and_then(word),
        ip_families: Some(families).filter(|families| !families.is_empty()),
        ..Default::default()
    }
}
