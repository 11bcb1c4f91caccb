//! Where Rouse departs from Knative: one switch for each quirk that is mended.
//!
//! [`Rules::knative`] is what the golden vectors are played with. [`Rules::rouse`] is what the programs run with: a
//! switch is on there only if all it can do is delay a scale-down or refuse less. Whatever changes how many replicas a
//! load gets is off unless someone asks for it.

/// The switches. `false` is always Knative's behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Q12. The scale-down delay follows its setting: a changed delay resizes the window, and what was recorded within
    /// both lengths is kept. Knative sizes it once, so an edit takes effect with the next restart of the autoscaler.
    pub delay_follows_setting: bool,
    /// Q14. A revision that is found with exactly one ready replica starts in panic mode as one with several does, so
    /// that a restart of the autoscaler does not give it up. Knative protects only two and more.
    pub one_ready_is_protected: bool,
    /// Q14, Q15. Nothing is lowered before a whole stable window has really been observed. Knative takes the average
    /// of a young window, even that of a single idle second, for the average of a whole one.
    pub young_window_never_lowers: bool,
    /// Q19a. A window that is resized while it is young keeps its age. Knative counts the past that was never written
    /// as zeros, so the average drops until real data has filled it.
    pub resize_keeps_age: bool,
    /// Q27. Without data the path stays as it is. Knative takes every revision off the direct path when the autoscaler
    /// has restarted, until the first valid decision.
    pub path_stays_without_data: bool,
    /// Requests that wait for replicas on their way up are not taken for load that asks for more of them, and those
    /// replicas count where growth and panic are judged; see `startup`. Only for the metric concurrency: requests a
    /// second do not pile up. Off unless somebody asks for it.
    pub startup_aware: bool,
}

impl Rules {
    /// Knative to the letter.
    pub const fn knative() -> Self {
        Self {
            delay_follows_setting: false,
            one_ready_is_protected: false,
            young_window_never_lowers: false,
            resize_keeps_age: false,
            path_stays_without_data: false,
            startup_aware: false,
        }
    }

    /// What the programs run with.
    pub const fn rouse() -> Self {
        Self {
            delay_follows_setting: true,
            // A panic can give a load one replica more than Knative would; that nothing is lowered in a young window
            // protects it too, and does only that.
            one_ready_is_protected: false,
            young_window_never_lowers: true,
            // It can give a load more replicas than Knative would, and not only for longer.
            resize_keeps_age: false,
            path_stays_without_data: true,
            // It gives a load another number of replicas than Knative would.
            startup_aware: false,
        }
    }
}
