async def test_works(database):
    async with database.transaction() as tx:
        assert await tx.fetchval("select '{\"a\": 1.5}'::jsonb") is not None
        assert await tx.fetchval("select current_user") == "bitlinkpay_app"
