"""Who may do what: merchants, their API keys, the four roles and the scopes of each route; and requests sent twice."""
