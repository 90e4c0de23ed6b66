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

**How it is started**, with the commands of Flower 1.42 (`pip install
'syndata_jax[federated]'`). A folder with three files, the same everywhere:

    # pyproject.toml
    [project]
    name = "evolution"
    version = "1.0.0"
    [tool.flwr.app]
    publisher = "me"
    [tool.flwr.app.components]
    serverapp = "server:app"
    clientapp = "clients:app"
    [tool.flwr.app.config]
    out = ""

    # clients.py
    def home(context):
      folder = pathlib.Path(context.node_config["folder"])
      def read():
        with np.load(folder / "records.npz") as data:
          return np.asarray(PIXELS.embed(data["images"])), data["labels"]
      policy = Policy(num_classes=10, dimension=784, max_norm=28.0)
      budget = Ledger(delta=1e-5, budget=2.5)
      return Home(Participant(read, policy), folder / "ledger.json", budget)
    app = client_app(home)

    # server.py
    def main(transport, context):
      evolved = evolve_federated(
        SecureVoters(transport), PIXELS, api, Ledger(1e-5, budget=2.0), key,
        EvolutionOptions(epsilon=2.0, noise="discrete", delta=1e-5),
        Federation(max_clients=100, min_honest=80, max_untrusted=5),
        num_classes=10, folder=pathlib.Path(context.run_config["out"]))
    app = server_app(main, expected=100)

A client's budget is somewhat above the server's: a vote that has left it is
paid for at home, though its round may turn out to be void. On the server:

    flower-superlink --ssl-ca-certfile=CA --ssl-certfile=CERT --ssl-keyfile=KEY
    flwr run FOLDER there --run-config='out="/runs/one"' --stream

with `[superlink.there]` and `address = "SERVER:8000"` in `~/.flwr/config.toml`;
and at each client:

    flower-supernode --superlink=SERVER:8000 --root-certificates=CA \
        --node-config='folder="/data/mine"'

On one machine `--insecure` stands for the certificates (`insecure = true` in
the file), and each SuperNode has a `--port` of its own.
"""
