"""Private Evolution over clients: records stay where they are.

A round:

1. The server sends the embeddings of its candidates.
2. Each client lets its records vote, clips its whole vector of votes to L2 norm
   C, rounds it, adds its share of Skellam noise and hides it under masks.
3. The server adds up what comes and takes the masks off the sum. It sees no
   summand; the sum has the noise of the clients that are in it.
4. Selection and variation are post-processing, on the server.

**The unit of privacy** is a client with all its records. What is accounted is
the noise of `min_honest` clients: a round in which fewer than `min_honest +
max_untrusted` are left is void, and nothing of it is released.

**Who may do what, and what it costs.**

- A client drops out, at any point: nothing, while enough are left.
- It comes back: it takes part in the next round, with new keys.
- It lies, as `max_untrusted` of them may: it leaves its noise out, or sends any
  numbers. That costs utility: entries out of the range of honest sums are
  struck, and within the range each moves by the range at most. It never costs
  the guarantee of the others.
- The server is curious: it sees noisy sums, and learns the epsilon of the
  ledger.
- It chooses the candidates, as probes: no more than that, for the guarantee
  holds whatever is asked. How often and how noisily a client answers, its own
  `Policy` and its own ledger bound.
- It breaks the protocol, by handing out keys of its own or by pretending to be
  many clients: the secure sum. A vote is then hidden by its own share of the
  noise alone, with an epsilon more than sqrt(min_honest) times as large.
  Flower's TLS and the authentication of its nodes stand against it.

**How it is started**, with Flower's commands (`pip install
'syndata_jax[federated]'`). A folder with three files:

    # pyproject.toml
    [project]
    name = "evolution"
    version = "1.0.0"
    [tool.flwr.app]
    publisher = "me"
    [tool.flwr.app.components]
    serverapp = "server:app"
    clientapp = "clients:app"

    # clients.py
    def home(context):
      folder = pathlib.Path(context.node_config["folder"])
      def records():
        with np.load(folder / "records.npz") as data:
          return embed(data["images"]), data["labels"]
      return Home(
        Participant(records, Policy(num_classes=10, dimension=784)),
        folder / "ledger.json",
        Ledger(delta=1e-5, budget=2.0),
      )
    app = client_app(home)

    # server.py
    def main(transport, context):
      evolve_federated(SecureVoters(transport), ...)
    app = server_app(main)

On the server's machine and on each client's:

    flower-superlink --insecure
    flower-supernode --insecure --superlink=SERVER:8000 \
        --node-config='folder="/data/mine"'
    flwr run FOLDER local --stream

`--insecure` is for one machine; elsewhere give the certificates.
"""
