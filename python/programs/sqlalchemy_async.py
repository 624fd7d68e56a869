"""SQLAlchemy's asyncio engine on aiosqlite: the synchronous core in greenlets, awaited from below."""

import asyncio
import os
import tempfile

import sqlalchemy
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.exc import IntegrityError, MissingGreenlet, StatementError
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

WRITERS = 12
EACH = 15


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    pages: Mapped[int]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")


async def write(sessions: async_sessionmaker[AsyncSession], number: int) -> None:
    async with sessions() as session, session.begin():
        author = Author(name=f"author {number}")
        author.books = [Book(title=f"{number}/{i}", pages=number * i) for i in range(EACH)]
        session.add(author)
        await session.flush()
        await asyncio.sleep(0)
        assert author.id is not None


async def read(sessions: async_sessionmaker[AsyncSession], number: int) -> int:
    async with sessions() as session:
        author = (await session.scalars(select(Author).filter_by(name=f"author {number}"))).one()
        # Read when it is asked for: only where somebody can wait.
        try:
            author.books
            raise AssertionError("read without anybody to wait for it")
        except (MissingGreenlet, StatementError) as error:
            assert "greenlet_spawn has not been called" in str(error)
        books = await author.awaitable_attrs.books
        assert len(books) == EACH and all(book.title.startswith(f"{number}/") for book in books)
        total = await session.run_sync(lambda session: sum(book.pages for book in author.books))
        statement = select(func.sum(Book.pages)).where(Book.author_id == author.id)
        assert (await session.scalar(statement)) == total
        return total


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{os.path.join(folder, 'books')}", connect_args={"timeout": 60}
        )
        sessions = async_sessionmaker(engine)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await asyncio.gather(*[write(sessions, number) for number in range(WRITERS)])

        # An error of the driver comes up through the greenlet, and the session can go on.
        async with sessions() as session:
            session.add(Author(name="author 3"))
            try:
                await session.commit()
                raise AssertionError("a name twice")
            except IntegrityError:
                await session.rollback()
            assert (await session.scalar(select(func.count(Author.id)))) == WRITERS

        totals = await asyncio.gather(*[read(sessions, number) for number in range(WRITERS)])
        assert totals == [number * sum(range(EACH)) for number in range(WRITERS)]

        async with sessions() as session:
            result = await session.stream_scalars(
                select(Author).options(selectinload(Author.books)).order_by(Author.id)
            )
            seen = 0
            async for author in result:
                seen += len(author.books)
            assert seen == WRITERS * EACH

        # A task that is cancelled while it is in the middle of a statement.
        async def forever():
            async with sessions() as session:
                while True:
                    await session.scalar(select(func.count(Book.id)))

        task = asyncio.create_task(forever())
        await asyncio.sleep(0.05)
        task.cancel()
        try:
            await task
            raise AssertionError("not cancelled")
        except asyncio.CancelledError:
            pass
        await engine.dispose()
    print(f"SQLAlchemy {sqlalchemy.__version__}: {seen} rows were right")


if __name__ == "__main__":
    asyncio.run(main())
