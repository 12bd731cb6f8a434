//! Stacks of the platform.

use super::{Client, ClientError, folder};
use crate::stacks::{STACKS_PATH, Stacks};

impl Client {
    /// Fetches all stacks.
    pub fn stacks(&self) -> Result<Stacks, ClientError> {
        self.get(&folder(STACKS_PATH, []))
    }
}
