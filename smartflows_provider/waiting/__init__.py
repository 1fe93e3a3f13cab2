"""Pure decisions about a wait: what a status means, when to ask again, when to give up."""
