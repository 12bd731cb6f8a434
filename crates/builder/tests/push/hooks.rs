//! A fake of the controller's internal listener.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use api::hooks::BuildDone;
use serde_json::{Value, json};

pub const BUILDER_KEY: &str = "builder-key";

/// A controller with canned answers and recorded requests.
#[derive(Default)]
pub struct Controller {
    /// Type and base64 of a key, and whose it is.
    pub keys: HashMap<String, String>,
    /// Each app with its id and its users.
    pub apps: BTreeMap<String, (String, Vec<String>)>,
    pub values: serde_json::Map<String, Value>,
    /// The branch that deploys each app, once one was deployed or chosen.
    pub branches: BTreeMap<String, String>,
    pub build_kind: Option<String>,
    pub builder: Option<String>,
    /// Answers the next releases with 400 and this.
    pub refusal: Option<String>,
    /// Refuses each build with 409 and this.
    pub lock: Option<String>,
    pub released: Vec<BuildDone>,
    pub silent: bool,
}

#[derive(Clone)]
pub struct Hooks {
    pub url: String,
    controller: Arc<Mutex<Controller>>,
}

impl Hooks {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hooks = Self { url, controller: Arc::default() };
        let serving = hooks.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hooks = serving.clone();
                std::thread::spawn(move || hooks.serve(stream));
            }
        });
        hooks
    }

    pub fn controller(&self) -> MutexGuard<'_, Controller> {
        self.controller.lock().unwrap()
    }

    /// One request a connection. A broken connection is what a silent controller looks like.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let (mut line, mut length, mut key) = (String::new(), 0, String::new());
        reader.read_line(&mut line).ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "x-deis-builder-auth" => value.clone_into(&mut key),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        if self.controller().silent {
            return None;
        }
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let (status, answer) =
            if key == BUILDER_KEY { self.answer(&path, &body) } else { (401, json!({"detail": "no"})) };
        let answer = answer.to_string();
        let length = answer.len();
        write!(
            reader.get_mut(),
            "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{answer}"
        )
        .ok()
    }

    fn answer(&self, path: &str, body: &Value) -> (u16, Value) {
        let mut controller = self.controller();
        let text = |name: &str| body[name].as_str().unwrap_or("").to_owned();
        let (user, app) = (text("receive_user"), text("receive_repo"));
        match path {
            "/v2/hooks/key/" => match controller.keys.get(&text("public")) {
                Some(user) => (200, json!({"username": user})),
                None => (404, json!({"detail": "Not found."})),
            },
            "/v2/hooks/apps/" => (200, json!({"apps": controller.apps.keys().collect::<Vec<_>>()})),
            "/v2/hooks/access/" | "/v2/hooks/config/" => match controller.apps.get(&app) {
                None => (404, json!({"detail": "Not found."})),
                Some((_, users)) if !users.contains(&user) => (403, json!({"detail": "no"})),
                Some((uuid, _)) if path.ends_with("access/") => {
                    let branch = controller.branches.get(&app);
                    let kind = &controller.build_kind;
                    (
                        200,
                        json!({"app": app, "uuid": uuid, "branch": branch, "build_kind": kind, "builder": controller.builder}),
                    )
                }
                Some(_) => match &controller.lock {
                    Some(detail) => (409, json!({"detail": detail})),
                    None => (200, config(&app, &controller.values)),
                },
            },
            "/v2/hooks/build/" => match controller.refusal.take() {
                Some(detail) => (400, json!({"detail": detail})),
                None => {
                    controller.branches.entry(app).or_insert(text("branch"));
                    controller.released.push(serde_json::from_value(body.clone()).unwrap());
                    (200, json!({"release": {"version": controller.released.len() + 1}}))
                }
            },
            _ => (404, Value::Null),
        }
    }
}

fn config(app: &str, values: &serde_json::Map<String, Value>) -> Value {
    json!({"uuid": "c", "app": app, "owner": "alice", "values": values, "created": "", "updated": ""})
}
