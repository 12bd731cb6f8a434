//! The managed registry in the cluster, shared by tests that run at the same time; the last one removes it.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Weak};

use domain::registry_access::{AccessKey, STACK_REPOSITORY};
use oci::{Access, Login, Repository, Transport, push_archive};
use tokio::sync::Mutex;

static SHARED: Mutex<Weak<Registry>> = Mutex::const_new(Weak::new());

/// A registry, its proxies on the nodes, and the stack in it.
pub struct Registry {
    pub namespace: String,
    pub key: String,
    /// `http://<address of the Service>`
    pub url: String,
    /// `127.0.0.1:<port>` on each node
    pub node_host: String,
}

impl Registry {
    pub async fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().await;
        if let Some(registry) = shared.upgrade() {
            return registry;
        }
        let registry = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&registry);
        registry
    }

    async fn start() -> Self {
        let random: u32 = rand::random();
        let namespace = format!("wf-jobs-{random:08x}");
        let port = 20_000 + random % 20_000;
        let key = format!("{:032x}", rand::random::<u128>());
        let node_host = format!("127.0.0.1:{port}");
        // It removes what is made below, also when that fails.
        let mut registry = Self { namespace: namespace.clone(), key, url: String::new(), node_host };
        apply(&manifests(&namespace, &registry.key, port));
        for what in ["deployment/deis-registry", "daemonset/deis-registry-proxy"] {
            kubectl(&["rollout", "status", what, "--namespace", &namespace, "--timeout=120s"]);
        }
        let service = ["get", "service", "deis-registry", "--namespace", &namespace, "-o"];
        let address = kubectl(&[&service[..], &["jsonpath={.spec.clusterIP}"]].concat());
        registry.url = format!("http://{address}");
        registry.push_stack().await;
        registry
    }

    async fn push_stack(&self) {
        let archive = std::env::var("WORKFLOW_TEST_STACK").expect(
            "set WORKFLOW_TEST_STACK to the archive of the run image of the stack that `cargo xtask images` made",
        );
        let stack = self.repository(STACK_REPOSITORY, Access::Push);
        let build = archive.strip_suffix(".tar").expect("it is an archive").to_owned() + "-build.tar";
        for (archive, tags) in [(archive, &["latest", "trixie"][..]), (build, &["trixie-build"][..])] {
            for tag in tags {
                push_archive(archive.as_ref(), &stack, tag).await.expect("the registry takes the stack");
            }
        }
    }

    pub fn repository(&self, name: &str, access: Access) -> Repository {
        let login = AccessKey::new(self.key.as_bytes()).for_controller();
        let login = Login { username: login.username, password: login.password };
        Repository::new(&Transport::new(), &self.url, name, Some(login), access)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        delete_namespace(&self.namespace);
    }
}

/// Says nothing when it fails: it is called where a test has failed already.
pub fn delete_namespace(name: &str) {
    let arguments = ["delete", "namespace", name, "--wait=false", "--ignore-not-found"];
    let _ = Command::new("kubectl").args(arguments).stdout(Stdio::null()).status();
}

/// The platform's own image, as it is on the nodes.
pub fn workflow_image() -> String {
    std::env::var("WORKFLOW_TEST_IMAGE")
        .expect("set WORKFLOW_TEST_IMAGE to the platform's image, loaded by `cargo xtask cluster load`")
}

/// The image that Dockerfiles are built in, as it is on the nodes.
pub fn builder_image() -> String {
    std::env::var("WORKFLOW_TEST_BUILDER")
        .expect("set WORKFLOW_TEST_BUILDER to the builder image, loaded by `cargo xtask cluster load`")
}

pub fn kubectl(arguments: &[&str]) -> String {
    let output = Command::new("kubectl").args(arguments).output().expect("kubectl can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {}: {said}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn apply(manifests: &str) {
    let mut child = Command::new("kubectl")
        .args(["apply", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("kubectl can be run");
    child.stdin.take().expect("a pipe").write_all(manifests.as_bytes()).expect("kubectl reads");
    assert!(child.wait().expect("kubectl ends").success());
}

fn manifests(namespace: &str, key: &str, port: u32) -> String {
    let image = workflow_image();
    format!(
        r#"
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: key, namespace: {namespace}}}
stringData: {{key: "{key}"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: deis-registry, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: deis-registry}}}}
  template:
    metadata: {{labels: {{app: deis-registry}}}}
    spec:
      containers:
      - name: registry
        image: {image}
        imagePullPolicy: Never
        args: [registry, --registry-key-file=/key/key, --data-dir=/data]
        readinessProbe: {{httpGet: {{path: /healthz, port: 5000}}, periodSeconds: 1}}
        securityContext: {{runAsUser: 1000}}
        volumeMounts: [{{name: key, mountPath: /key}}, {{name: data, mountPath: /data}}]
      securityContext: {{fsGroup: 1000}}
      volumes: [{{name: key, secret: {{secretName: key}}}}, {{name: data, emptyDir: {{}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: deis-registry, namespace: {namespace}}}
spec:
  selector: {{app: deis-registry}}
  ports: [{{port: 80, targetPort: 5000}}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: deis-registry-proxy, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: deis-registry-proxy}}}}
  template:
    metadata: {{labels: {{app: deis-registry-proxy}}}}
    spec:
      hostNetwork: true
      dnsPolicy: ClusterFirstWithHostNet
      containers:
      - name: proxy
        image: {image}
        imagePullPolicy: Never
        args:
        - registry-proxy
        - --listen=127.0.0.1:{port}
        - --registry=deis-registry.{namespace}.svc.cluster.local:80
        - --health-listen=127.0.0.1:{health_port}
        readinessProbe: {{tcpSocket: {{host: 127.0.0.1, port: {port}}}, periodSeconds: 1}}
"#,
        health_port = port + 20_000
    )
}
