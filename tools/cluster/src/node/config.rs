//! Settings of a node's programs. JSON where YAML is expected: YAML includes it.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use serde_json::{Value, json};

use crate::layout::{self, CLUSTER_DNS, Node, PODS};
use crate::pki::{self, AUTHORITY};
use crate::{cgroups, images};

/// Debian's folder of network plugins.
const PLUGINS: &str = "/usr/lib/cni";
/// Most processes and threads of one pod.
const POD_PIDS_MAX: u32 = 1024;
/// Limit of open files that a kubelet sets.
const OPEN_FILES_MAX: u64 = 1_000_000;

/// Settings of containerd; the paths are the node's own, see `FOLDERS`.
pub fn containerd(network: &Path) -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "/run/containerd/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
disable_apparmor = true
disable_tcp_service = true
# Without the right to lower it, a pod that asks for a better score would not start.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{network}"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#,
        pause = images::PAUSE,
        network = network.display(),
    )
}

/// Network of pods: each has an address of the node's range, on a bridge.
pub fn network(node: Node) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": node.pods() }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

pub fn kubelet(node: Node, resolver: &Path) -> anyhow::Result<Value> {
    let (_, open_files) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(json!({
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": node.address(),
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": pki::certificate(AUTHORITY) },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": pki::certificate(&node.name()),
        "tlsPrivateKeyFile": pki::key(&node.name()),
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}/{}", cgroups::ROOT, node.name()),
        "failCgroupV1": false,
        "clusterDomain": "cluster.local",
        "clusterDNS": [CLUSTER_DNS],
        // The machine's file may name a resolver that a pod cannot reach.
        "resolvConf": resolver,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "nodeStatusUpdateFrequency": "5s",
        "serializeImagePulls": false,
        "registryPullQPS": 0,
        // Test machines are small and may swap; images cannot be pulled again, so none is removed for space.
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "100Mi",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "100Mi",
        },
        "oomScoreAdj": 0,
        // Recommended for operators: no app can use all of a node's processes.
        "podPidsLimit": POD_PIDS_MAX,
        "maxOpenFiles": open_files.min(OPEN_FILES_MAX),
    }))
}

pub fn kube_proxy(node: Node) -> Value {
    json!({
        "kind": "KubeProxyConfiguration",
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "clientConnection": { "kubeconfig": layout::kubeconfig("kube-proxy") },
        "mode": "nftables",
        "clusterCIDR": PODS,
        "hostnameOverride": node.name(),
        "bindAddress": "0.0.0.0",
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        // Recommended for operators: no app can use all of a node's processes.
        "podPidsLimit": POD_PIDS_MAX,
        // The table of connections is the machine's: its size is not changed.
        "conntrack": { "maxPerCore": 0, "min": 0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_a_range_of_pods_and_a_control_group_of_its_own() {
        let ranges = [Node(1), Node(2)].map(|node| network(node)["plugins"][0]["ipam"]["ranges"].clone());
        let groups = [Node(1), Node(2)].map(|node| {
            kubelet(node, Path::new("/resolv.conf")).expect("limits are known")["cgroupRoot"].clone()
        });

        assert_ne!(ranges[0], ranges[1]);
        assert_eq!(groups, ["/workflow-cluster/node-1", "/workflow-cluster/node-2"]);
    }

    #[test]
    fn containerd_takes_the_pause_image_that_we_load() {
        let text = containerd(Path::new("/state/network"));

        assert!(text.contains("sandbox_image = \"localhost/workflow-cluster/pause:1\"\n"), "{text}");
        assert!(text.contains("conf_dir = \"/state/network\"\n"), "{text}");
    }
}
