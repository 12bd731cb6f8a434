//! Lines of the platform to a logger of the cluster, and out of it by the same client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::AppName;
use domain::logs::{LogLine, LogOrigin};
use engine::LogSink as _;
use engine::log_queue::LogQueue;
use jiff::Timestamp;
use logger::{LoggerClient, LoggerClientError, LoggerError, LoggerSettings};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const KEY: &str = "a key that reads";
const LINES_KEY: &str = "a key that writes lines";

struct World {
    folder: TempDir,
    address: SocketAddr,
    lines: Arc<LogQueue>,
    stop: watch::Sender<bool>,
}

impl World {
    /// An address without a logger, until [`World::start_logger`].
    async fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        let (folder, lines) = (tempfile::tempdir().unwrap(), Arc::default());
        Self { folder, address, lines, stop: watch::Sender::new(false) }
    }

    async fn start_logger(&self) -> JoinHandle<Result<(), LoggerError>> {
        let mut settings = LoggerSettings::new(self.folder.path().join("logs"));
        (settings.key, settings.lines_key) = (Some(KEY.to_owned()), Some(LINES_KEY.to_owned()));
        let listener = TcpListener::bind(self.address).await.unwrap();
        tokio::spawn(logger::run(settings, Some(listener), None, self.stop.subscribe()))
    }

    fn client(&self, key: &str) -> LoggerClient {
        LoggerClient::new(&format!("http://{}/", self.address), Some(key.to_owned()))
    }

    fn say(&self, number: usize) {
        let origin = LogOrigin::Platform { component: "builder".to_owned(), level: "INFO".to_owned() };
        let time = Timestamp::from_second(1_767_323_045).unwrap();
        self.lines.write(LogLine { time, app: app(), origin, text: format!("line {number}") });
    }

    /// The last lines, once there are so many.
    async fn until(&self, count: usize) -> String {
        let reader = self.client(KEY);
        let waiting = async {
            loop {
                let text = reader.lines(&app(), Some(count as u64)).await.unwrap().unwrap_or_default();
                let text = String::from_utf8(text.to_vec()).unwrap();
                if text.lines().count() == count {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), waiting).await.expect("the lines never come")
    }
}

fn app() -> AppName {
    AppName::parse("blog").unwrap()
}

#[tokio::test]
async fn lines_wait_for_the_logger_and_arrive_in_order_and_once() {
    // More than one batch.
    const LINES: usize = 900;
    let world = World::new().await;
    let client = world.client(LINES_KEY);
    tokio::spawn(logger::publish(Arc::clone(&world.lines), client, world.stop.subscribe()));
    (0..LINES).for_each(|number| world.say(number));

    let _logger = world.start_logger().await;
    let text = world.until(LINES).await;

    for (number, line) in text.lines().enumerate() {
        assert_eq!(line, format!("2026-01-02T03:04:05+00:00 deis[builder]: INFO line {number}"));
    }
}

#[tokio::test]
async fn the_last_lines_are_sent_before_the_end() {
    let world = World::new().await;
    let _logger = world.start_logger().await;
    let (stop, stopping) = watch::channel(true);
    world.say(7);

    logger::publish(Arc::clone(&world.lines), world.client(LINES_KEY), stopping).await;

    drop(stop);
    assert!(world.until(1).await.ends_with("line 7\n"));
}

#[tokio::test]
async fn a_key_that_is_not_the_loggers_is_an_error_that_names_the_status() {
    let world = World::new().await;
    let _logger = world.start_logger().await;

    for key in [LINES_KEY, "another"] {
        let client = world.client(key);
        for refused in [
            client.lines(&app(), None).await.map(drop),
            client.follow(&app(), None, None).await.map(drop),
            client.forget(&app()).await,
        ] {
            let error = refused.expect_err("it may not read");
            assert!(matches!(&error, LoggerClientError::Refused { status, .. } if *status == 401), "{error}");
        }
    }
    assert!(world.client(KEY).forget(&app()).await.is_ok());
}
