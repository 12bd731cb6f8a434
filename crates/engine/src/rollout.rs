//! The rules of rollouts that are the same on every engine: pure, from desired and observed state. An engine observes
//! and acts.

pub mod back_off;
pub mod crashes;
pub mod desired_state;
pub mod failure_text;
pub mod judge;
pub mod replica;
pub mod restart;

#[cfg(test)]
mod tests {
    use domain::deployment::Workload;

    /// A web process with 20 s to start.
    pub fn workload() -> Workload {
        let json = r#"{"id":{"app":"blog","process":"web"},"release":2,
            "image":{"kind":"external","reference":"a","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"},
            "env":{},"port":8000,"replicas":{"fixed":2},"limits":{},"tags":{},"probes":{},"hooks":{},
            "grace_seconds":5,"start_timeout_seconds":20}"#;
        serde_json::from_str(json).expect("a workload")
    }
}
