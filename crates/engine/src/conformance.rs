//! The promises of the traits, each stated once; every engine is held to them by its own tests.
//!
//! `promises!(every, world)` makes a test of each promise that any engine can show, `promises!(real, world)`
//! of those that take real processes, memory and connections. `world` is an async function that makes a
//! [`Subject`] of its own for each test. `promises!(builds, World)` makes tests of the promises of [`builds`].

pub mod builds;
mod hooks;
mod images;
mod jobs;
mod limits;
mod load;
mod logs;
mod probes;
mod removal;
mod rollouts;
mod routes;
mod scale;
pub mod setting;
mod signals;
mod terminals;

use std::sync::Arc;

use domain::Image;
use domain::build::ProcessResult;
use domain::deployment::Workload;

use crate::{Engine, Images, Jobs, LogSource, Routes, Terminals};

pub use hooks::*;
pub use images::*;
pub use jobs::*;
pub use limits::*;
pub use load::*;
pub use logs::*;
pub use probes::*;
pub use removal::*;
pub use rollouts::*;
pub use routes::*;
pub use scale::*;
pub use signals::*;
pub use terminals::*;

/// Every trait of an engine, with or without processes.
pub trait AnyEngine: Engine + Jobs + Terminals + Images + Routes {}

impl<T: Engine + Jobs + Terminals + Images + Routes> AnyEngine for T {}

/// An engine under test with an image for it; its objects are removed with it.
///
/// The image's program answers HTTP on `$PORT` with `$RELEASE`; `tests/program/app.rs` describes its other
/// functions. An engine without processes simulates them.
pub trait Subject: Send + Sync {
    /// The engine under test.
    fn engine(&self) -> Arc<dyn AnyEngine>;

    /// An image that the engine has.
    fn image(&self) -> Image;

    /// Lets the process of this workload say `cannot start: no such table` and exit with code 3 so many times before it
    /// runs.
    fn crashes(&self, workload: &mut Workload, times: u64);

    /// Lets the rollout of this workload fail: its process exits with code 3 at once.
    fn breaks(&self, workload: &mut Workload) {
        self.crashes(workload, u64::MAX);
    }

    /// Lets the rollout of this workload neither end nor fail for a while.
    fn stalls(&self, workload: &mut Workload);

    /// Ends what [`Subject::stalls`] did to later desired states.
    fn resumes(&self);

    /// Most processes and threads of one replica.
    fn pids_max(&self) -> usize;

    /// Sets the end of the next one-off process, for engines without processes.
    fn will_finish(&self, finished: &ProcessResult);
}

/// A subject whose processes are real, and have something to say.
pub trait RealSubject: Subject {
    /// The lines of the engine's processes, as the platform follows them.
    fn log_source(&self) -> Arc<dyn LogSource>;
}

/// Makes a test of each promise.
#[macro_export]
macro_rules! promises {
    (every, $world:path) => {
        $crate::promises! { @ $world:
            a_desired_state_is_carried_out_and_listed, repeating_a_desired_state_changes_nothing, a_new_release_replaces_all_pods,
            a_failed_rollout_leaves_the_old_release, a_first_rollout_that_fails_leaves_nothing,
            a_newer_desired_state_takes_the_place_of_one_under_way, a_desired_state_that_failed_can_be_made_again,
            a_release_that_crashes_once_and_then_runs_settles, a_release_that_crashes_twice_is_given_up,
            a_failure_is_told_with_its_exit_code_and_last_lines,
            scaling_replaces_nothing, scaling_to_zero_stops_all_pods_and_keeps_the_route,
            a_restart_replaces_the_chosen_pods_alone, a_named_pod_is_restarted_alone,
            a_restart_of_nothing_gives_nothing, a_route_shows_hosts_settings_and_ready_backends,
            an_app_that_is_not_routable_is_not_in_the_table, a_route_goes_to_the_target_alone,
            a_route_has_the_certificates_of_its_domains,
            a_route_has_the_challenges_of_its_domains_while_they_are_wanted, a_path_goes_to_its_own_process_type,
            a_route_follows_the_number_of_replicas, a_route_whose_workload_is_removed_has_no_backends,
            removing_a_workload_leaves_the_others, removing_what_is_not_there_succeeds,
            a_removed_app_leaves_the_table_and_the_list, tags_are_matched_with_nodes,
            a_one_off_process_gives_its_output_and_exit_code, an_unknown_image_is_not_found,
            an_image_can_be_kept_and_removed_twice,
            a_session_answers_what_is_typed_and_ends_with_its_exit_code,
            a_session_knows_the_size_of_its_terminal, input_through_a_pipe_has_an_end,
            a_session_passes_on_every_byte_as_it_is,
            a_command_in_a_pod_has_the_environment_of_its_release, a_pod_of_another_app_is_refused,
        }
    };
    // Of engines, and their worlds, that keep copies of images of others.
    (copies, $world:path) => {
        $crate::promises! { @ $world: a_stored_image_is_listed_until_it_is_removed }
    };
    (real, $world:path) => {
        $crate::promises! { @ $world:
            no_request_is_lost_in_rollouts_of_one_replica, no_request_is_lost_in_rollouts_of_two_replicas,
            no_request_is_lost_in_restarts_and_scaling, a_failed_rollout_loses_no_request,
            replicas_follow_the_load_up_to_the_maximum,
            a_process_that_never_listens_fails_in_time,
            a_program_that_is_missing_fails_at_once, tags_that_no_node_has_fail_the_rollout,
            a_replica_gets_no_traffic_before_it_answers, a_sick_replica_leaves_the_table,
            a_replica_that_fails_its_liveness_check_is_restarted, a_crashed_replica_is_started_again,
            a_crash_is_told_with_its_exit_code_and_counted, what_is_asked_to_end_does_not_crash,
            a_process_that_ignores_term_is_killed_after_its_grace_period, memory_beyond_the_limit_is_refused,
            hooks_run_after_the_start_and_before_the_stop, a_start_hook_that_fails_fails_the_rollout,
            a_command_in_a_pod_ends_with_its_session,
            a_one_off_process_has_no_more_rights_than_a_replica, processes_beyond_the_limit_are_refused,
            output_of_a_one_off_process_is_not_in_the_log,
            lines_of_processes_come_in_order_and_once,
            a_late_reader_has_the_lines_that_it_missed, each_reader_has_every_line,
            a_long_line_stays_whole_and_beyond_the_bound_comes_in_marked_parts,
        }
    };
    (builds, $world:ty) => {
        $crate::promises! { @builds $world:
            a_buildpack_build_ends_as_the_stack_and_one_layer,
            links_that_lead_out_of_the_source_are_in_the_slug_as_they_are,
            a_failing_buildpack_build_tells_its_output,
            a_slug_is_rebased_without_a_build_and_its_former_image_stays,
            what_is_no_slug_is_not_rebased,
            a_dockerfile_build_ends_as_an_image_with_its_ports_and_user,
            heredocs_mounts_and_links_of_buildkit_are_understood, what_dockerignore_names_is_not_in_the_image,
            links_that_lead_out_of_the_source_are_copied_and_lead_nowhere,
            a_failing_step_tells_its_output_and_its_exit_code,
            a_dockerfile_that_cannot_be_read_is_told_with_its_line,
            build_arguments_come_from_the_config_where_the_app_wants_that,
            a_buildpack_build_sees_its_config_and_no_credential, a_step_has_no_right_outside_its_namespaces,
            images_of_other_apps_do_not_exist_for_a_build,
            a_buildpack_cache_is_kept_for_the_next_build_until_one_goes_without,
            steps_before_a_changed_line_are_used_again_and_the_same_source_gives_the_same_image,
            of_all_caches_the_least_recently_used_go,
            a_buildpack_build_above_its_memory_is_told_the_limit,
            a_step_of_a_dockerfile_above_its_memory_is_told_the_limit, a_slug_above_its_limit_is_refused,
            a_buildpack_build_ends_at_its_deadline_and_leaves_nothing,
            a_dockerfile_build_ends_at_its_deadline_and_leaves_nothing,
            a_dropped_build_and_a_build_of_a_dead_process_are_removed,
            a_one_off_process_with_its_own_command_leaves_nothing,
            a_program_that_does_not_exist_ends_as_in_a_shell,
            a_one_off_process_is_bounded_in_time_memory_and_place,
            a_one_off_process_knows_its_address_where_it_is_told,
            the_packages_of_an_image_are_those_that_no_upper_layer_removes, the_packages_of_the_stack_are_listed,
        }
    };
    // Of engines that build with Cloud Native Buildpacks; `world` is a `CnbSubject`.
    (cnb, $world:ty) => {
        $crate::promises! { @builds $world:
            a_build_of_a_builder_has_its_processes_and_the_environment_of_its_layers,
            layers_of_buildpacks_are_used_again_until_a_build_goes_without_a_cache,
            a_buildpack_sees_its_config_and_no_credential, what_a_buildpack_rewrites_or_links_to_gains_nothing,
            a_source_that_no_buildpack_fits_and_a_build_that_fails_are_told,
            a_build_of_a_builder_is_bounded_in_memory_and_time,
            a_dropped_build_of_a_builder_and_one_of_a_dead_process_are_removed,
        }
    };
    (@builds $world:ty: $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() {
                $crate::conformance::builds::$promise::<$world>().await;
            }
        )*
    };
    (@ $world:path: $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let world = $world().await;
                $crate::conformance::$promise(&world).await;
            }
        )*
    };
}
