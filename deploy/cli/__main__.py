from deploy.cli.main import app

app(prog_name="bakvakt")
