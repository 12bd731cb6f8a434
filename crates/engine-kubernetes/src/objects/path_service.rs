//! The Service of a process type that some paths of an app go to (docs/spec/api.md 6.4). It has no domain of its own:
//! routers join it to the route of the app.

use domain::deployment::WorkloadId;
use domain::routing::{AppRouting, PathService};
use k8s_openapi::api::core::v1::Service;

use super::certificate::short_hash;
use super::{metadata, service};
use crate::names;

/// Longest name of a Service.
const NAME_LENGTH_MAX: usize = 63;

/// `<app>-<type>`, or a short one of its own where that would be too long.
pub fn name(id: &WorkloadId) -> String {
    let name = id.to_string();
    if name.len() <= NAME_LENGTH_MAX { name } else { format!("paths-{}", short_hash(&[&name])) }
}

pub fn path_service(routing: &AppRouting, service: &PathService) -> Service {
    let PathService { process, path_pattern } = service;
    let id = WorkloadId { app: routing.app.clone(), process: process.clone() };
    let mut labels = names::app_labels(&id.app);
    let is_routable = routing.routable && routing.target.is_some();
    labels.insert(names::PART_LABEL.to_owned(), names::PATHS_PART.to_owned());
    labels.insert(names::ROUTABLE_LABEL.to_owned(), is_routable.to_string());
    let mut metadata = metadata(&name(&id), labels);
    metadata.annotations = Some(names::labels([
        (names::PROXY_DOMAIN_ANNOTATION, id.app.as_str()),
        (names::PROXY_LOCATIONS_ANNOTATION, path_pattern),
    ]));
    Service { metadata, spec: Some(service::spec(names::workload_labels(&id))), status: None }
}

#[cfg(test)]
mod tests {
    use domain::edge::EdgeSettings;
    use domain::{AppName, ProcessType};

    use super::*;
    use crate::objects::service::{annotated, target};

    #[test]
    fn what_is_wanted_of_a_path_is_read_back_as_it_was() {
        let wanted = PathService {
            process: ProcessType::parse("hooks").expect("a good type"),
            path_pattern: "/hook,~ ^/x/".to_owned(),
        };
        let routing = AppRouting {
            app: AppName::parse("blog").expect("a good name"),
            target: Some(ProcessType::web()),
            domains: Vec::new(),
            edge: EdgeSettings::default(),
            routable: true,
            certificates: Vec::new(),
            challenges: Vec::new(),
            owner: None,
            services: vec![wanted.clone()],
        };

        let service = path_service(&routing, &wanted);

        let read = annotated(service.metadata.annotations.as_ref(), 0);
        assert_eq!(read.located, Some(("blog".to_owned(), "/hook,~ ^/x/".to_owned())));
        assert_eq!(
            (target(&service), service.metadata.name),
            (Some(wanted.process), Some("blog-hooks".to_owned()))
        );
        assert_eq!((read.domains, read.wrong), (vec![], Vec::<String>::new()));
    }

    #[test]
    fn a_long_name_gives_one_that_kubernetes_takes_and_is_no_other_services() {
        let app = AppName::parse(&format!("a{}", "b".repeat(61))).expect("a good name");
        let name = |process: &str| {
            let process = ProcessType::parse(process).expect("a good type");
            name(&WorkloadId { app: app.clone(), process })
        };

        assert!(name("hooks").len() <= NAME_LENGTH_MAX && name("hooks").starts_with("paths-"));
        assert_ne!(name("hooks"), name("other"));
    }
}
