"""The one exception that a person is meant to read."""


class UserError(ValueError):
  """A mistake of the person who started the program.

  The message is one line that names the flag, field or file, the value it has
  and what is allowed. Programs print it on standard error and exit with 2.
  """
